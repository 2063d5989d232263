"""A process: its roles, HTTP port and logs."""
