"""The fast path: records of active profiles scored in columns."""
