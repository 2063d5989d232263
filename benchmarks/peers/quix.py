"""Quix Streams, exactly-once with a commit every second: with scikit-learn, or with nothing."""

from __future__ import annotations

from typing import Any

from quixstreams import Application

from benchmarks.peers.loop import arguments, load_models


def main() -> None:
    options = arguments()
    app = Application(
        broker_address=options.bootstrap,
        consumer_group=options.group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        commit_interval=1.0,
        loglevel="WARNING",
    )
    stream = app.dataframe(app.topic(options.telemetry))
    if not options.nothing:
        models = load_models(options.models)

        def judge(value: Any, key: Any, timestamp: int, _headers: Any) -> dict[str, Any]:
            row, model = list(value["values"].values()), models[key]
            (score,) = model.score_samples([row]).tolist()
            return {
                "profile_id": key.decode(),
                "score": -score,
                "anomaly": score < model.offset_,
                "observed_at": timestamp,
                "vectors": [row],
            }

        stream = stream.apply(judge, metadata=True)
    stream.to_topic(app.topic(options.verdicts))
    app.run()


if __name__ == "__main__":
    main()
