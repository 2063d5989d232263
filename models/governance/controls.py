"""The controls of a compliance assessment: what is asked, and what to do if it is not so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Control:
    """What is asked of the product.

    Attributes:
        critical: if it fails, the whole is not compliant.
        remedy: what to do if it is not passed, with a command or a setting.
    """

    id: str
    category: str
    title: str
    critical: bool
    remedy: str


def _control(id: str, category: str, title: str, remedy: str, critical: bool = False) -> Control:
    return Control(id, category, title, critical, remedy)


CONTROLS: Final = (
    _control(
        "B1",
        "bias",
        "There is a bias analysis of the kind, at most 30 days old",
        "telltale govern bias MODEL --attribute NAME",
    ),
    _control(
        "B2",
        "bias",
        "Its alert rate ratio, false alarms and odds pass",
        "Follow the recommendations of the bias analysis",
        True,
    ),
    _control(
        "B3",
        "bias",
        "Attributes are known of at least 80 % of active profiles",
        "PUT /api/v1/attributes with a table",
    ),
    _control(
        "B4",
        "bias",
        "At least 100 labels of the audit queue in 90 days",
        "Label GET /api/v1/audit-queue",
    ),
    _control(
        "T1",
        "transparency",
        "At least 99 % of anomalies come with reasons",
        "Use a detector that gives reasons: TELLTALE_DETECTOR",
        True,
    ),
    _control(
        "T2",
        "transparency",
        "All versions in force say seed, parameters, libraries, samples and trigger",
        "telltale profile retrain --all",
        True,
    ),
    _control(
        "T3",
        "transparency",
        "Verdicts were repeated to the last bit, at most 30 days ago",
        "telltale backtest TOPIC --check --json > T3.json; telltale govern attach MODEL T3 T3.json",
    ),
    _control(
        "T4",
        "transparency",
        "Commands carry a reason (90 %) and have a receipt (all)",
        "Give --reason with each telltale profile command",
    ),
    _control(
        "T5",
        "transparency",
        "A model card of the kind, at most 90 days old",
        "telltale govern card MODEL > T5.json; telltale govern attach MODEL T5 T5.json",
    ),
    _control(
        "T6",
        "transparency",
        "Explanations hold: median R² of LIME at least 0.5, agreement with SHAP at least 0.6",
        "telltale govern explain VERDICT_ID --type shap, and --type lime, for some verdicts",
    ),
    _control(
        "R1",
        "robustness",
        "Every adopted version passed the gate",
        "telltale profile rollback ID",
        True,
    ),
    _control(
        "R2",
        "robustness",
        "The alert share of 90 % of profiles is within ½ to 2 times the budget",
        "telltale profile retrain ID; docs/calibration.md",
    ),
    _control(
        "R3",
        "robustness",
        "No model was lost, and no digest was wrong, in 30 days",
        "docs/operations.md; keep the model store in a backup",
        True,
    ),
    _control(
        "R4",
        "robustness",
        "Less than 1 % of transactions were aborted",
        "telltale govern attach MODEL R4 with the text of each role's /metrics; docs/operations.md",
    ),
    _control(
        "R5",
        "robustness",
        "Drift is answered within 7 days, and less than 20 % of profiles drift",
        "telltale profile retrain ID, or telltale profile adopt ID",
    ),
    _control(
        "R6",
        "robustness",
        "Less than 1 % dead letters, less than 5 % missing values",
        "telltale dead-letter list; have producers send what is missing",
    ),
    _control(
        "R7",
        "robustness",
        "The fault test of this version: nothing lost, nothing doubled",
        "make chaos JSON=R7.json; telltale govern attach MODEL R7 R7.json",
    ),
    _control(
        "P1",
        "privacy",
        "Forgetting is confirmed by all roles within 24 h",
        "telltale profile forget ID waits for the receipts",
        True,
    ),
    _control(
        "P2",
        "privacy",
        "Telemetry and dead letters are kept for at most 30 days",
        "kafka-configs.sh --alter --add-config retention.ms=2592000000",
    ),
    _control(
        "P3",
        "privacy",
        "Kafka is spoken to with TLS and a login",
        "TELLTALE_KAFKA_CONFIG with security.protocol=SASL_SSL",
        True,
    ),
    _control(
        "P4",
        "privacy",
        "Each role has a principal of its own",
        "Access control lists of docs/security.md",
    ),
    _control(
        "P5",
        "privacy",
        "The console asks for a login, and no token holds longer than 24 h",
        "TELLTALE_JWT_SECRET",
        True,
    ),
    _control("P6", "privacy", "Silent profiles are forgotten", "TELLTALE_PROFILE_TTL_DAYS above 0"),
    _control("P7", "privacy", "Small groups are hidden in reports", "–"),
)
