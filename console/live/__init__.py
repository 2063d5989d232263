"""What the stream says, read once: into the store, into memory, to those who wait."""
