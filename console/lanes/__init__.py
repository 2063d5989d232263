"""Lanes: anomalies by profile and five minutes, written with the projection, read from memory."""
