"""Where reading begins, and which partitions cannot be read."""
