"""`telltale ingest presets|check` as a user types them."""

import json
from pathlib import Path

import yaml
from typer.testing import CliRunner

from processor.cli.ingest import app
from processor.ingest.presets import names

RUN = CliRunner()


def sources(directory: Path, **more) -> str:
    fields = {"name": "a", "topic": "t", "kind": "features", "profile_id": "{h}"}
    path = directory / "sources.yaml"
    path.write_text(yaml.safe_dump({"sources": [fields | {"values": {"*": "v"}} | more]}))
    return str(path)


def lines(directory: Path, *values) -> str:
    path = directory / "lines.jsonl"
    path.write_text("".join(f"{json.dumps(value)}\n" for value in values))
    return str(path)


def test_presets_are_listed_and_printed_as_yaml():
    listed = RUN.invoke(app, ["presets"])
    one = RUN.invoke(app, ["presets", "telegraf"])
    none = RUN.invoke(app, ["presets", "nginx"])

    assert [line.split()[0] for line in listed.output.splitlines()] == names()
    assert yaml.safe_load(one.output)["values"] == {"*": "fields"}
    assert none.exit_code == 2
    assert "cloudevents" in none.output


def test_check_of_a_file_prints_one_object_and_exits_1_where_nothing_maps(tmp_path):
    file = lines(tmp_path, {"h": "x", "v": {"a": 1}}, {"h": 1.5}, None)

    good = RUN.invoke(app, ["check", sources(tmp_path), "--file", file, "--json"])
    bad = RUN.invoke(app, ["check", sources(tmp_path, profile_id="{no}"), "--file", file])

    (report,) = json.loads(good.output)["sources"]
    assert good.exit_code == 0
    assert {name: report[name] for name in ("name", "records", "mapped", "filtered", "dead")} == {
        "name": "a", "records": 3, "mapped": 1, "filtered": 1, "dead": {"unmapped": 1},
    }  # fmt: skip
    assert report["profiles"] == 1
    assert report["first"]["key"] == "x"
    assert bad.exit_code == 1
    assert "unmapped: 2" in bad.output


def test_a_source_is_chosen_by_its_name(tmp_path):
    file = lines(tmp_path, {"h": "x", "v": {"a": 1}})

    other = RUN.invoke(app, ["check", sources(tmp_path), "--source", "b", "--file", file])

    assert other.exit_code == 2
    assert "expected one of a" in other.output
