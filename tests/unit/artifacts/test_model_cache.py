"""The model cache: least recently used models leave first, and whoever noted a place can tell."""

import weakref
from collections import OrderedDict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.kernels.layout import NOT_IN_MEMORY
from processor.artifacts.model_cache import ModelCache

BUDGET = 50
SIZES = {"a": 10, "b": 20, "c": 25, "d": 40, "e": 60, "f": 1}

deeds = st.lists(
    st.tuples(st.sampled_from(["keep", "get", "use", "drop"]), st.sampled_from("abcdef"))
)


class Named:
    """What the cache asks of a model."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nbytes = SIZES[name]


def used(cache: ModelCache, *noted: tuple[int, int]) -> list[bool]:
    slots, serials = np.array(noted, dtype=np.int64).reshape(-1, 2).T
    return cache.pin(slots, serials).tolist()


@given(deeds)
def test_it_holds_what_was_used_last_and_fits(done):
    cache = ModelCache(BUDGET)
    expected: OrderedDict[str, int] = OrderedDict()
    for deed, name in done:
        if deed == "keep" and name not in expected:
            cache.put(name, Named(name))
            expected[name] = SIZES[name]
            while sum(expected.values()) > BUDGET and len(expected) > 1:
                expected.popitem(last=False)
        elif deed == "drop":
            cache.evict(name)
            expected.pop(name, None)
        elif deed == "get":
            found = cache.get(name)
            assert (None if found is None else found.name) == (name if name in expected else None)
        elif deed == "use":
            assert used(cache, cache.find(name)) == [name in expected]
        if deed in ("get", "use") and name in expected:
            expected.move_to_end(name)
        assert set(cache.digests()) == set(expected)
        assert cache.nbytes == sum(expected.values())


def test_a_place_that_another_model_took_is_not_the_first_ones():
    cache = ModelCache(BUDGET)
    cache.put("d", Named("d"))
    first = cache.find("d")

    cache.put("c", Named("c"))
    cache.put("b", Named("b"))

    assert first[0] in (cache.find("b")[0], cache.find("c")[0])
    assert cache.find("d") == (NOT_IN_MEMORY, NOT_IN_MEMORY)
    assert used(cache, first, cache.find("b"), (NOT_IN_MEMORY, NOT_IN_MEMORY)) == [
        False,
        True,
        False,
    ]


def test_a_model_that_leaves_during_a_batch_can_be_had_until_it_is_through():
    cache = ModelCache(BUDGET)
    cache.put("d", Named("d"))
    place = cache.find("d")
    assert used(cache, place) == [True]

    cache.put("c", Named("c"))

    assert cache.get("d") is None
    assert cache.model(*place).name == "d"
    assert cache.model(*cache.find("c")).name == "c"
    assert used(cache, place) == [False]


def test_a_model_that_left_is_let_go_of_once_the_batch_is_through():
    cache = ModelCache(BUDGET)
    cache.put("d", held := Named("d"))
    left, kept = weakref.ref(held), cache.find("d")
    del held
    assert used(cache, kept) == [True]
    cache.put("c", Named("c"))
    assert left() is not None

    cache.unpin_all()

    assert left() is None
    assert cache.model(*cache.find("c")).name == "c"


def test_of_an_empty_cache_nothing_is_there():
    assert used(ModelCache(BUDGET), (NOT_IN_MEMORY, NOT_IN_MEMORY), (0, 1)) == [False, False]
    assert used(ModelCache(BUDGET)) == []
