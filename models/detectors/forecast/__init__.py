"""A detector for metrics that follows season, trend and level, point by point."""

from models.detectors.forecast.detector import Forecast

__all__ = ["Forecast"]
