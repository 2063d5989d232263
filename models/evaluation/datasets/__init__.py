"""Recordings as profiles, samples and labels."""
