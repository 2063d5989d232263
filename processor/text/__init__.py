"""Text that came off a topic: read from headers, and escaped for people."""
