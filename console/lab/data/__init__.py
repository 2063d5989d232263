"""Data sets: tables that were uploaded, looked at, sent as telemetry, deleted."""
