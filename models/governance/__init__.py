"""Governance: fairness of alerts, monitoring of periods, compliance; pure functions on arrays."""
