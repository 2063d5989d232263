"""What the four analyses take, with the field names of the document."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from console.answers import Word
from models.governance.compliance import CATEGORIES
from models.governance.monitoring.periods import PATTERN, days_of

BIAS, EXPLANATION, COMPLIANCE, MONITORING = "bias", "explanation", "compliance", "monitoring"
EVIDENCE = "evidence"
"""Documents for compliance are kept among the reports."""

PERIOD = "verdicts:"


def _period(text: str) -> str:
    days_of(text)
    return text


def _dataset(text: str) -> str:
    if text.startswith(PERIOD):
        days_of(text.removeprefix(PERIOD))
    return text


Name = Annotated[Word, Field(min_length=1, max_length=300)]
Period = Annotated[str, Field(pattern=PATTERN), AfterValidator(_period)]
Threshold = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class BiasAnalysisRequest(BaseModel):
    """A bias analysis of a model on a data set."""

    model_id: Name = Field(description="fleet:<kind>, <kind>:<profile_id>, or a registered id.")
    dataset_id: Annotated[Name, AfterValidator(_dataset)] = Field(
        description="verdicts:<period>, such as verdicts:30d, or the id of an uploaded table."
    )
    analysis_type: Literal[
        "demographic_parity", "equalized_odds", "individual_fairness", "comprehensive"
    ] = "comprehensive"
    protected_attributes: list[Name] = Field(
        min_length=1, max_length=20, description="Attributes of profiles, or columns of the table."
    )
    target_column: Name = Field(
        "label", description="label for verdicts:<period>; else a column of the table."
    )
    prediction_column: Name | None = Field(
        None,
        description="anomaly by default; also a condition, as severity>=high, rule_severity>=low.",
    )
    thresholds: dict[Name, Threshold] = Field(
        default={"demographic_parity": 0.1, "equalized_odds": 0.1},
        description="Metric to threshold; others have their defaults.",
    )
    enable_intersectional_analysis: bool = True
    confidence_level: float = Field(0.95, ge=0.5, le=0.99)
    bootstrap_samples: int = Field(1000, ge=100, le=10_000)
    weighting: Literal["profiles", "records"] = Field(
        "profiles", description="Whether each profile counts alike, or each record."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of all draws.")

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "model_id": "fleet:behavior",
                    "dataset_id": "verdicts:30d",
                    "analysis_type": "comprehensive",
                    "protected_attributes": ["age_group", "device"],
                    "target_column": "label",
                    "prediction_column": "anomaly",
                    "thresholds": {"demographic_parity": 0.1, "equalized_odds": 0.1},
                    "enable_intersectional_analysis": True,
                    "confidence_level": 0.95,
                    "bootstrap_samples": 1000,
                }
            ]
        },
    )


class ExplanationRequest(BaseModel):
    """An explanation of one verdict or sample, or of a model."""

    model_id: Name = Field(description="fleet:<kind>, <kind>:<profile_id>, with @<version> of one.")
    instance_id: Name | None = Field(None, description="The verdict_id of a record.")
    instance_data: dict[Name, Any] | None = Field(
        None, max_length=1000, description="Feature to number or null, in place of a record."
    )
    explanation_type: Literal["contributions", "shap", "lime", "permutation", "global"]
    feature_names: list[Name] | None = Field(
        None, max_length=1000, description="Only these are listed."
    )
    num_features: int = Field(10, ge=1, le=50)
    period: Period = Field("30d", description="Of global: the verdicts that count.")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of all draws.")

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "examples": [
                {
                    "model_id": "features:web-1",
                    "instance_id": "telemetry.features-0-4711",
                    "explanation_type": "shap",
                    "num_features": 10,
                }
            ]
        },
    )

    @property
    def of_many(self) -> bool:
        """Whether it is about many records, and takes longer."""
        return self.explanation_type in ("permutation", "global")

    @model_validator(mode="after")
    def _has_instance(self) -> Self:
        if not self.of_many and not self.instance_id and not self.instance_data:
            raise ValueError("either instance_id or instance_data must be provided")
        if self.instance_data is not None:
            for name, value in self.instance_data.items():
                if value is not None and (
                    isinstance(value, bool) or not isinstance(value, int | float)
                ):
                    raise ValueError(f"instance_data.{name}: expected a number or null")
        return self


class ComplianceRequest(BaseModel):
    """A self-assessment of a kind's models against a framework."""

    model_id: Name
    framework: Literal["nist_ai_rmf", "eu_ai_act", "iso_23053"] = "nist_ai_rmf"
    assessment_scope: list[Literal["bias", "transparency", "robustness", "privacy"]] = Field(
        default=list(CATEGORIES), min_length=1, max_length=4
    )

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "examples": [{"model_id": "fleet:features", "framework": "nist_ai_rmf"}]
        },
    )


class MonitoringRequest(BaseModel):
    """A current period against a reference."""

    model_id: Name
    monitoring_type: Literal["drift", "performance", "bias", "data_quality"]
    reference_period: Period = "30d"
    current_period: Period = "7d"
    alert_threshold: float = Field(0.05, ge=0.001, le=0.5, allow_inf_nan=False)
    protected_attributes: list[Name] = Field(
        default=[], max_length=20, description="Of bias; all that are known by default."
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="Of all draws.")

    model_config = ConfigDict(
        protected_namespaces=(),
        json_schema_extra={
            "examples": [{"model_id": "features:web-1", "monitoring_type": "drift"}]
        },
    )


class MonitorRequest(MonitoringRequest):
    """A standing monitor: the same, again and again."""

    every: Literal["hourly", "daily"] = "daily"
    enabled: bool = True


PATHS = {
    BIAS: "/api/v1/analysis/bias",
    EXPLANATION: "/api/v1/explanation",
    COMPLIANCE: "/api/v1/compliance",
    MONITORING: "/api/v1/monitoring",
}
REQUESTS: dict[str, type[BaseModel]] = {
    BIAS: BiasAnalysisRequest,
    EXPLANATION: ExplanationRequest,
    COMPLIANCE: ComplianceRequest,
    MONITORING: MonitoringRequest,
}
