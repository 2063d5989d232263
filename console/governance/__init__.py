"""Governance over HTTP: requests become reports; the analyses themselves are in ``models``."""
