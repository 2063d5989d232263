"""Quix Streams mapping Telegraf's records to telemetry, exactly-once with a commit every second."""

from __future__ import annotations

import argparse
import json
from io import BytesIO
from typing import Any

from quixstreams import Application

FEATURES = ("usage_idle", "usage_user", "usage_system", "usage_iowait", "usage_steal")


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "group", "source", "output", "format", "registry"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    app = Application(
        broker_address=options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        loglevel="WARNING",
    )
    avro = options.format == "avro"
    source = app.topic(options.source, value_deserializer="bytes" if avro else "json")
    output = app.topic(options.output, value_serializer="json")
    stream = app.dataframe(source)
    if avro:
        stream = stream.apply(reader(options.registry))

    def mapped(value: Any) -> dict[str, Any]:
        fields = value if avro else value["fields"]
        return {
            "host": value["host"] if avro else value["tags"]["host"],
            "values": {name: fields[name] for name in FEATURES},
            "observed_at": value["timestamp"] * 1000,
        }

    stream = stream.apply(mapped)
    stream.to_topic(output, key=lambda value: value.pop("host"))
    app.run()


def reader(registry: str) -> Any:
    """How values in Confluent's wire format are read, each schema fetched once."""
    import urllib.request

    import fastavro

    schemas: dict[int, Any] = {}

    def read(value: bytes) -> Any:
        number = int.from_bytes(value[1:5], "big")
        if number not in schemas:
            with urllib.request.urlopen(f"{registry}/schemas/ids/{number}") as answer:  # noqa: S310
                text = json.load(answer)["schema"]
            schemas[number] = fastavro.parse_schema(json.loads(text))
        return fastavro.schemaless_reader(BytesIO(value[5:]), schemas[number], None)

    return read


if __name__ == "__main__":
    main()
