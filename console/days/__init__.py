"""Counts of verdicts and sketches of features by profile and day, from the topics."""
