"""Compiled training: scales, neighbours and trees."""
