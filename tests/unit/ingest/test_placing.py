"""Placing: the partition of a profile is the one that Kafka's clients choose for its key."""

import pytest

from processor.ingest.placing import Placing, murmur2

# Of UtilsTest.testMurmur2 in Apache Kafka, as Java's signed integers.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("key", "java"), JAVA.items())
def test_the_hash_is_that_of_javas_client(key, java):
    assert murmur2(key) == java % 2**32


def test_the_place_is_the_hash_without_its_sign_modulo_the_partitions():
    assert Placing(7).place("foobar") == (b"foobar", (-790332482 & 0x7FFFFFFF) % 7)


def test_a_place_is_remembered_and_stays():
    placing = Placing(7)

    assert placing.place("a") is placing.place("a")


@pytest.mark.parametrize("profile", ["", "a\x01", "x" * 257, "\ud800", '{"a":1}'])
def test_what_can_be_no_id_says_so(profile):
    with pytest.raises(ValueError, match=r"expected|control|UTF-8|object"):
        Placing(1).place(profile)
