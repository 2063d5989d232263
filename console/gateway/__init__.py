"""Telemetry by HTTP: checked, produced, and answered with the verdict of the scorer."""
