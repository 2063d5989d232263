"""What analyses read: the store, telemetry records, settings and the broker."""
