"""The retrainer: accepted samples to candidates."""
