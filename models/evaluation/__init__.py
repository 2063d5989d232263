"""How well the detectors tell normal from abnormal on real recordings, and what it costs."""

from models.evaluation.report import to_json, to_markdown
from models.evaluation.results import Results
from models.evaluation.run import RECORDINGS, run

__all__ = ["RECORDINGS", "Results", "run", "to_json", "to_markdown"]
