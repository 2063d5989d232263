"""Each type of report made from its request."""
