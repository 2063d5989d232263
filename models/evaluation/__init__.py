"""How well the detectors tell normal from abnormal on real recordings, and what it costs."""

from models.evaluation.recordings import RECORDINGS
from models.evaluation.report import to_json, to_markdown
from models.evaluation.results import Results, Row
from models.evaluation.run import run
from models.evaluation.tasks import RecordingError

__all__ = ["RECORDINGS", "RecordingError", "Results", "Row", "run", "to_json", "to_markdown"]
