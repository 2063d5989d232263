"""Simulated profiles and their telemetry."""
