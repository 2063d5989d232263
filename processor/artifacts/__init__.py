"""The model store: artefacts written, opened, cached and cleaned up."""
