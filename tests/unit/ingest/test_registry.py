"""The registry's client: properties, and what is remembered of answers that did not come."""

import threading
from types import SimpleNamespace

import pytest
from confluent_kafka.schema_registry import SchemaRegistryError

from processor.ingest.formats.registry import (
    RegistryConfigError,
    SchemaRegistry,
    registry_properties,
)
from processor.ingest.formats.schema import SchemaMissing, SchemaPending
from processor.ingest.formats.wire import SchemaId

ID = SchemaId(7, None)


class Client:
    """Answers as it is told to, and counts how often it is asked."""

    def __init__(self):
        self.asked = 0
        self.answer = None
        self.may_answer = threading.Event()

    def get_schema(self, number):
        self.asked += 1
        assert self.may_answer.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return SimpleNamespace(schema_type="AVRO", schema_str=f'"{number}"', references=[])


@pytest.fixture
def clock():
    return SimpleNamespace(now=100.0)


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def registry(client, clock):
    made = SchemaRegistry({"url": "http://127.0.0.1:1"}, clock=lambda: clock.now)
    made._client = client
    yield made
    made.close()


def asked(registry, client):
    """What comes of asking, once the client has answered."""
    client.may_answer.clear()
    with pytest.raises(SchemaPending):
        registry.read(ID, lambda text: text.text)
    answer = registry._asked[ID]
    client.may_answer.set()
    answer.exception(10)
    return registry.read(ID, lambda text: text.text)


def test_a_schema_is_asked_for_once(registry, client):
    assert asked(registry, client) == '"7"'
    assert registry.read(ID, lambda text: text.text) == '"7"'
    assert client.asked == 1
    assert registry.waiting is None


def test_no_such_schema_is_remembered_for_five_seconds(registry, client, clock):
    client.answer = SchemaRegistryError(404, 40403, "not found")
    with pytest.raises(SchemaMissing, match="id 7"):
        asked(registry, client)
    with pytest.raises(SchemaMissing):
        registry.read(ID, lambda text: text.text)
    client.answer = None
    clock.now += 5.1

    assert asked(registry, client) == '"7"'
    assert client.asked == 2


@pytest.mark.parametrize(
    "answer",
    [ConnectionError("secret"), SchemaRegistryError(500, 1, "x"), SchemaRegistryError(401, 1, "x")],
)
def test_a_registry_that_is_away_is_asked_again_after_a_second(registry, client, clock, answer):
    client.answer = answer
    with pytest.raises(SchemaPending):
        asked(registry, client)
    with pytest.raises(SchemaPending):
        registry.read(ID, lambda text: text.text)
    assert client.asked == 1
    assert "the schema registry does not answer" in registry.waiting
    assert "secret" not in registry.waiting

    client.answer, clock.now = None, clock.now + 1.1

    assert asked(registry, client) == '"7"'
    assert registry.waiting is None


def test_properties_are_passed_on_and_no_value_is_told(tmp_path):
    file = tmp_path / "r.properties"
    file.write_text("# x\nurl = http://r:8081\nbasic.auth.user.info=u:secret\ntimeout=2\n")

    found = registry_properties(file)

    assert found == {
        "url": "http://r:8081",
        "basic.auth.user.info": "u:secret",
        "timeout": 2.0,
        "max.retries": 0,
    }
    for text in ("url\n", "timeout=secret\nurl=x\n", "", "url=\n"):
        file.write_text(text)
        with pytest.raises(RegistryConfigError) as caught:
            registry_properties(file)
        assert "secret" not in str(caught.value)
