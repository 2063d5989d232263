"""The console: HTTP API and store, a client of the stream that never scores."""
