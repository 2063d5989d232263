"""Job types beside triage: backtest, evaluate, retrain, fit."""
