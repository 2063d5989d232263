"""Compiled kernels on text: JSON read and written in columns."""
