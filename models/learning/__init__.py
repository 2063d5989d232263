"""Learning: training, retraining and the gate that candidates pass."""
