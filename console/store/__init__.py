"""The store: SQLite or PostgreSQL."""
