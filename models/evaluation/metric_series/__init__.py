"""How well the detectors of metrics do on recorded and on simulated series, point by point."""
