"""Formats: bytes of a value to the objects that paths read, with a schema registry or without."""
