"""Backtest: recorded telemetry scored again with other settings."""
