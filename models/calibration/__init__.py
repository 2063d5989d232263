"""Calibration: scores to p-values, severity and drift."""
