"""The registry: models that the lab trained, and uploads."""
