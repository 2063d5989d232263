"""A new normal: when records count as one, and what is learnt of it."""
