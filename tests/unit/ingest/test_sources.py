"""The file of sources: an error names the file, the line, the field, the value and the remedy."""

from pathlib import Path

import pytest

import schemas
from processor.ingest.sources import SourcesError, load_sources
from processor.settings import Settings

SETTINGS = Settings(_env_file=None)
GOOD = """\
sources:
  - name: hosts
    topic: telegraf
    kind: features
    profile_id: "{tags.host}"
    values:
      idle: fields.idle
"""


def load(tmp_path: Path, text: str):
    path = tmp_path / "sources.yaml"
    path.write_text(text)
    return load_sources(path, SETTINGS)


def test_a_file_is_read_with_its_paths_relative_to_it(tmp_path):
    text = "schema_registry: r.properties\n" + GOOD.replace(
        "    kind", "    format: avro\n    schema: s.avsc\n    kind"
    )

    found = load(tmp_path, text)

    assert found.registry == tmp_path / "r.properties"
    assert found.beside(found.sources[0].schema_file or "") == tmp_path / "s.avsc"
    assert found.topics == ["telegraf"]


def test_a_preset_fills_in_what_is_not_given(tmp_path):
    text = """\
sources:
  - {name: a, topic: t, preset: telegraf, profile_id: "{tags.host}"}
"""

    (found,) = load(tmp_path, text).sources

    assert found.profile_id == "{tags.host}"
    assert found.values == {"*": "fields"}
    assert found.observed_at is not None


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("kind: features", "kind: feature", 4, "sources[0].kind: expected 'features', 'series'"),
        ("kind: features", "kind: series", 2, "the source should have value, as kind is series"),
        ("    kind: features\n", "", 2, "the source should have kind, or a preset"),
        ("topic: telegraf", "topic: ^[", 3, "sources[0].topic: expected a regular expression"),
        ("topic: telegraf", "topic: a b", 3, "sources[0].topic: expected a topic's name"),
        ("topic: telegraf", "topic: anomalies", 3, "none of Telltale's own, got 'anomalies'"),
        ("topic: telegraf", "topic: ^.*", 3, "matches no topic of Telltale's own"),
        ("name: hosts", "name: a b", 2, "sources[0].name: expected"),
        ("idle: fields.idle", "idle: 'fields['", 7, "values.idle: expected a JMESPath expression"),
        ("{tags.host}", "{tags.host", 5, "[0].profile_id: expected an expression in braces"),
        ("idle: fields.idle", "idle: 5", 7, "[0].values.idle: expected a valid string, got 5"),
        ("    values", "    valuse: 1\n    values", 6, "sources[0].valuse: expected"),
        ("    values", "    rate: [other]\n    values", 2, "in rate only names of values"),
        ("    values", "    preset: nginx\n    values", 6, "preset: expected one of cloudevents,"),
        ("    values", "    observed_at: {path: t, unit: h}\n    values", 6, "unit: expected 's',"),
        ("    values", "    schema: x\n    values", 2, "a schema only with avro"),
        ("sources:", "sources: [", 2, "expected YAML"),
    ],
)  # fmt: skip
def test_an_error_names_file_line_field_and_what_was_expected(tmp_path, old, new, line, told):
    with pytest.raises(SourcesError) as caught:
        load(tmp_path, GOOD.replace(old, new))

    assert str(caught.value).startswith(f"{tmp_path}/sources.yaml line {line}: ")
    assert told in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "5", "sources: []", "sources: 1", "other: 1"])
def test_a_file_without_sources_says_so(tmp_path, text):
    with pytest.raises(SourcesError, match=r"sources\.yaml line 1"):
        load(tmp_path, text)


def test_a_name_twice_is_an_error_at_the_second(tmp_path):
    with pytest.raises(SourcesError, match=r"line 8: .*name that no source has before"):
        load(tmp_path, GOOD + GOOD.removeprefix("sources:\n"))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SourcesError, match=r"none\.yaml: expected a readable file"):
        load_sources(tmp_path / "none.yaml", SETTINGS)


def test_the_schema_of_the_file_is_printed_with_the_others():
    found = schemas.json_schemas()["Sources"]

    assert {"schema", "each", "profile_id"} <= set(found["$defs"]["Source"]["properties"])
