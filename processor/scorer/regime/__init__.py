"""A new normal: noticed, told, kept, and adopted."""
