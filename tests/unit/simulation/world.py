"""A world without a broker: transactional logs, a group, and processes that die at any point.

It models what Kafka promises (a transaction is there whole or not at all; a process that is no
longer of the group commits nothing) and nothing of how; the roles are the product's own.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import structlog
from prometheus_client import CollectorRegistry

from models import artifacts
from models.artifacts import Artifact, ArtifactError, Model
from processor.metrics import Metrics
from processor.model_store import ModelStore
from processor.names import Topics
from processor.records import Incoming, Outgoing, TopicPartition
from processor.retrainer import Pool, compute, compute_due, waits
from processor.retrainer_role import RetrainerRole
from processor.scorer_role import ScorerRole
from processor.settings import Settings
from processor.step import Step
from schemas import ModelRecord

PARTITIONS = 2
TOPICS = Topics()
QUIET = structlog.wrap_logger(structlog.PrintLogger(file=open("/dev/null", "w")))  # noqa: SIM115
