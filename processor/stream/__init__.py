"""The stream processor: poll, Step, transaction, apply."""
