"""The ingest role: records of any existing topic, mapped to telemetry exactly once."""
