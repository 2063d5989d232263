"""Columns: records that were read together, scored together."""
