"""Which of the topics that exist have another number of partitions than they should."""

from processor.kafka.admin import different


def test_none_differs_if_all_have_what_is_asked_for():
    assert different({"anomalies": 4, "models": 4}, 4) == []
    assert different({}, 4) == []


def test_each_differs_if_all_have_another_number_which_can_be_kept():
    said = different({"anomalies": 4, "models": 4}, 8)

    assert [sentence.partition(":")[0] for sentence in said] == ["anomalies", "models"]
    assert all("exists with 4 partitions, expected 8" in sentence for sentence in said)
    assert all("--partitions 4 (TELLTALE_PARTITIONS=4)" in sentence for sentence in said)


def test_one_that_differs_from_its_siblings_is_named_alone():
    (said,) = different({"anomalies": 4, "models": 1, "commands": 4}, 4)

    assert said.startswith("models: exists with 1 partition, expected 4; all topics must have")
