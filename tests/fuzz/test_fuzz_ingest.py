"""5,000 source records of a fixed seed: each is mapped, filtered or dead-lettered once."""

from pathlib import Path

from processor.metrics.initial_series import INGEST_REASONS
from tests.fuzz.ingest import IngestFuzzer

PAYLOADS = 5000


def test_5000_source_records_are_each_answered_once(tmp_path: Path):
    fuzzer = IngestFuzzer(20_261_130, tmp_path)

    for number in range(PAYLOADS):
        fuzzer.run(number)

    assert sum(fuzzer.outcomes.values()) == PAYLOADS
    assert {outcome for _, outcome in fuzzer.outcomes} == {"mapped", "filtered", "dead"}
    assert {name for name, outcome in fuzzer.outcomes if outcome == "mapped"} >= {
        "telegraf", "metricbeat", "otlp", "prometheus", "debezium", "cloudevents", "avro",
        "protobuf", "rates", "series", "drowsiness", "behavior", "coerced",
    }  # fmt: skip
    assert set(fuzzer.reasons) <= set(INGEST_REASONS)
