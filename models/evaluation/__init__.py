"""How well the detectors tell normal from abnormal on real recordings, and what it costs."""

from models.evaluation.datasets.recordings import RECORDINGS
from models.evaluation.datasets.tasks import RecordingError
from models.evaluation.report import to_json, to_markdown
from models.evaluation.results import Results, Row
from models.evaluation.run import run

__all__ = ["RECORDINGS", "RecordingError", "Results", "Row", "run", "to_json", "to_markdown"]
