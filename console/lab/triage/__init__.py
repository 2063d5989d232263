"""Triage: a model that learns from labels which alerts are worth a person's time."""
