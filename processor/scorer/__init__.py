"""The scorer: telemetry to verdicts."""
