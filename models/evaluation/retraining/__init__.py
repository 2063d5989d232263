"""Evaluation of retraining: drift, attacks and the gate."""
