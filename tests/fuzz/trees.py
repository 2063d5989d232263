"""Structured mutations: a valid record as a tree, changed in one place, and written again.

What JSON libraries would not write (numbers beyond float64, lone surrogates, a name twice) is put
into the tree as a mark and set in when the tree has become bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

import orjson

Tree = dict[str, Any]

ODD_NUMBERS: Final = (
    0, -1, 1, 2, 0.5, -0.5, 1e-9, 1.0000000001, -1e-12, 255, 256, 4095, 65536,
    2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), 2**63, 2**64 - 1,
    1e15, 1e16, 1e100, -1e100, 1.0000000000000002e100, 1e154, 1e155, 1e200, -1e200, 1e300, -1e300,
    1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 2.2250738585072014e-308,
    253_402_300_799_999, 253_402_300_800_000, 62_135_596_800_000, -62_135_596_800_000,
)  # fmt: skip

RAW: Final = (
    b"-0", b"-0.0", b"1e400", b"-1e400", b"1E+999999", b"1e-400", b"1e-999999999", b"0e1", b"0e999",
    b"1e309", b"1.7976931348623159e308", b"NaN", b"-NaN", b"nan", b"Infinity", b"-Infinity",
    b"inf", b"1e", b"1.", b".5", b"+1", b"01", b"-", b"0x1F", b"1_000", b"1,5", b"1e5.0", b"--1",
    b"9" * 19, b"9" * 20, b"-" + b"9" * 19, b"18446744073709551616", b"9" * 308, b"9" * 309,
    b"9" * 400, b"-" + b"9" * 400, b"9" * 5000, b"1" + b"0" * 400 + b"e-400", b"0." + b"0" * 400,
    b"0." + b"3" * 5000, b"3." + b"0" * 2000, b"1e" + b"0" * 300 + b"1", b"true", b"True", b"None",
    b"undefined", b"", b" ", b"'a'", b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud83d\\ude00"',
    b'"\\u0000"', b'"\\x41"', b'"\\"', b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\x00"',
    b'"\n"', b'"\xe2\x80\xa8"', b"/* */ 1", b"1 // x", b"[1,]", b"[,1]", b'{"a":1,}', b'{"a"}',
    b'{1:1}', b"{a:1}", b"[[[[]]]]", b"[" * 62 + b"]" * 62, b"[" * 64 + b"]" * 64,
    b"[" * 900 + b"]" * 900, b"[" * 5000 + b"]" * 5000, b"[" * 3000,
    b'{"a":' * 70 + b"1" + b"}" * 70,
    b'{"":' * 2000 + b"1" + b"}" * 2000, b'[{"a":' * 40 + b"1" + b"}]" * 40,
    b'1, "values": {}', b'1, "profile_id": "other"', b'[], "values": [1, 2, 3], "timestamps": [1]',
    b'null, "startTimestamp": 5, "start_timestamp": 6', b'1, "a": 1, "a": "2"', b"1} , {",
)  # fmt: skip

ODD_TEXT: Final = (
    "", " ", "1", "true", "null", "NaN", "focus", "blur", "é", "漢字", "😀", "\u0000", "\u001f",
    "\u007f", "\u0085", "\u2028", "\ufeff", "\ufffe", "a" * 255, "a" * 257, "a" * 5000, "__proto__",
    "../../etc/passwd", "%s%n", "${jndi:x}", "a\nb", '"', "\\", "{}", "[]", "values", "KeyT",
    "{{}}",
    "2020-09-13T12:26:40Z", "2020-09-13T12:26:40.123456789+02:00", "0000-00-00T00:00:00Z",
    "9999-12-31T23:59:60Z", "1969-12-31T23:59:59Z", "2020-02-30T00:00:00Z", "2020-09-13 12:26:40",
    "2020-09-13T24:00:00Z", "2020-09-13T12:26:40+99:99", "0001-01-01T00:00:00+23:59",
    "٢٠٢٠-09-13T12:26:40Z", "2020-09-13T12:26:40." + "9" * 3000 + "Z",
)  # fmt: skip

FIELDS: Final = (
    "values", "timestamps", "ear_value", "is_drowsy", "duration_ms", "events", "startTimestamp",
    "start_timestamp", "endTimestamp", "windowSize", "window_size", "keyEvents", "key_events",
    "mousePaths", "clicks", "scrollEvents", "focusChanges", "profile_id", "kind", "observed_at",
    "code", "downTime", "down_time", "upTime", "t", "x", "y", "button", "duration", "dy", "type",
    "width", "height", "model_config", "__class__", "", "0", "-1",
)  # fmt: skip

LENGTHS: Final = (0, 1, 2, 3, 64, 99, 100, 101, 500, 999, 1000, 1001, 2000)
LARGEST_TREE: Final = 100_000
LONGEST_NAME: Final = 300
WRITTEN_BYTES: Final = 2_000_000
LONG_LENGTHS: Final = (9_999, 10_000, 10_001, 30_000, 70_000)


class Marks:
    """Tokens that stand in a tree until it is written."""

    def __init__(self) -> None:
        self._tokens: list[bytes] = []

    def put(self, token: bytes) -> str:
        self._tokens.append(token)
        return f"@@{len(self._tokens) - 1}@@"

    def written(self, tree: Any) -> bytes:
        raw = orjson.dumps(tree, option=orjson.OPT_NON_STR_KEYS)
        for place, token in enumerate(self._tokens):
            mark = b'"@@%d@@"' % place
            # An array made longer holds one element many times, marks included.
            huge = len(token) * raw.count(mark) > WRITTEN_BYTES
            raw = raw.replace(mark, b"1e400" if huge else token)
        return raw


def odd(rng: Random, marks: Marks) -> Any:
    """A value that is likely to be wrong where it is put."""
    what = rng.randrange(9)
    if what <= 3:
        return rng.choice(ODD_NUMBERS)
    if what == 4:
        text = rng.choice(ODD_TEXT)
        return text if len(text) <= LONGEST_NAME else marks.put(orjson.dumps(text))
    if what == 5:
        return rng.choice((None, True, False, [], {}, [None], [[]], {"": None}, [1], {"a": 1}))
    if what == 6:
        return rng.uniform(-1.0, 1.0) * 10.0 ** rng.randrange(-320, 308)
    if what == 7 and rng.random() < 0.05:
        sign = rng.choice((b"a", b"\\u0001", "é".encode(), b'\\"', b"[", b"\\\\"))
        return marks.put(b'"' + sign * rng.choice((60_000, 200_000)) + b'"')
    return marks.put(rng.choice(RAW))


def place(rng: Random, tree: Any) -> tuple[Any, Any]:
    """A container of the tree, which is not empty, and a key or index in it."""
    while True:
        key = rng.choice(list(tree)) if isinstance(tree, dict) else rng.randrange(len(tree))
        inner = tree[key]
        if not isinstance(inner, dict | list) or not inner or rng.random() < 0.3:
            return tree, key
        tree = inner


def lists(tree: Any) -> list[list[Any]]:
    """All arrays of the tree that hold anything."""
    found: list[list[Any]] = []
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        inner = node.values() if isinstance(node, dict) else node
        if isinstance(node, list) and node:
            found.append(node)
        waiting += [item for item in inner if isinstance(item, dict | list)]
    return found


def flat(numbers: list[Any]) -> bool:
    return not any(isinstance(item, dict | list) for item in numbers)


def weight(tree: Any) -> int:
    """Elements of the tree, as often as they would be written."""
    total, waiting = 0, [tree]
    while waiting and total < LARGEST_TREE:
        node = waiting.pop()
        inner = node.values() if isinstance(node, dict) else node
        total += 1 + len(inner)
        waiting += [item for item in inner if isinstance(item, dict | list)]
    return total


def replace(rng: Random, tree: Tree, marks: Marks) -> None:
    holder, key = place(rng, tree)
    holder[key] = odd(rng, marks)


def drop(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    holder, key = place(rng, tree)
    del holder[key]


def rename(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    holder, key = place(rng, tree)
    if isinstance(holder, dict):
        value = holder.pop(key)
        forms = (key.upper(), key + " ", f"{key}\u0000", snake(key), key[::-1], key * 50)
        name = rng.choice((*forms, rng.choice(FIELDS), rng.choice(ODD_TEXT)))
        # An object deep inside may stand there many times.
        holder[name if holder is tree else name[:LONGEST_NAME]] = value


def snake(name: str) -> str:
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)


def wrap(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    holder, key = place(rng, tree)
    inner = holder[key]
    depth = rng.choice((1, 1, 2, 61, 62, 63, 64, 120))
    for _ in range(depth):
        inner = [inner] if rng.random() < 0.5 else {rng.choice(FIELDS): inner}
    holder[key] = inner


def swap(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    (one, a), (two, b) = place(rng, tree), place(rng, tree)
    # Only leaves change places: a container could come to hold itself.
    if not isinstance(one[a], dict | list) and not isinstance(two[b], dict | list):
        one[a], two[b] = two[b], one[a]


def arithmetic(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    for _ in range(8):
        holder, key = place(rng, tree)
        value = holder[key]
        if isinstance(value, int | float) and not isinstance(value, bool):
            changed = (
                -value, value + 1e-9, value * 1e6, value * 1e-300, value // 1, float(value),
                value + rng.choice((-1, 1)) * 2**53, value * rng.uniform(-3, 3), value + 0.5,
            )  # fmt: skip
            made = rng.choice(changed)
            holder[key] = made if abs(made) < 2**63 else float(made)
            return


def all_numbers(rng: Random, tree: Tree, marks: Marks) -> None:
    """Every number of the record becomes one of a few: stands still, runs back, is enormous."""
    choices = rng.sample(ODD_NUMBERS, rng.choice((1, 2, 5)))
    token = marks.put(rng.choice(RAW)) if rng.random() < 0.1 else None
    for numbers in [*lists(tree), tree]:
        keys = numbers if isinstance(numbers, dict) else range(len(numbers))
        for key in keys:
            held = numbers[key]
            if isinstance(held, dict):
                for name, value in held.items():
                    if isinstance(value, int | float) and not isinstance(value, bool):
                        held[name] = rng.choice(choices)
            elif isinstance(held, int | float) and not isinstance(held, bool):
                numbers[key] = rng.choice(choices) if token is None else token


def all_null(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    keep = rng.random()
    for name, value in tree.items():
        if isinstance(value, list):
            tree[name] = [None if rng.random() > keep else item for item in value]
        elif isinstance(value, dict):
            tree[name] = {k: None if rng.random() > keep else v for k, v in value.items()}
        elif rng.random() > keep:
            tree[name] = None


def all_empty(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    for name, value in tree.items():
        if isinstance(value, dict | list) and rng.random() < 0.8:
            tree[name] = type(value)()


def lengthen(rng: Random, tree: Tree, marks: Marks) -> None:
    """One array, or all that are as long as it, gets another length."""
    found = lists(tree)
    if not found:
        return widen(rng, tree, marks)
    chosen = rng.choice(found)
    length = rng.choice(LONG_LENGTHS) if rng.random() < 0.03 else rng.choice(LENGTHS)
    length = min(length, LARGEST_TREE * len(chosen) // weight(tree))
    alike = [chosen]
    if rng.random() < 0.5 and flat(chosen):
        alike += [other for other in found if len(other) == len(chosen) and flat(other)]
    for numbers in {id(numbers): numbers for numbers in alike}.values():
        numbers[:] = (numbers * (length // len(numbers) + 1))[:length]
    if isinstance(tree.get("timestamps"), list) and rng.random() < 0.4:
        tree["timestamps"] = list(range(len(tree["timestamps"])))
    return None


def widen(rng: Random, tree: Tree, marks: Marks) -> None:
    """Very many names, or an array of values, in place of the values."""
    count = rng.choice((*LENGTHS, 5_000 if rng.random() < 0.1 else 10))
    wrong = odd(rng, marks) if rng.random() < 0.3 else 1.5
    name = rng.choice(("f", "\u0001" * 20, "é" * 30, "a" * 100))
    if rng.random() < 0.5:
        tree["values"] = [1.5] * count + [wrong]
    else:
        tree["values"] = {f"{name}{n}": 1.5 for n in range(count)} | {"last": wrong}


def shuffle(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    found = lists(tree)
    if found:
        chosen = rng.choice(found)
        if rng.random() < 0.5:
            chosen.reverse()
        else:
            rng.shuffle(chosen)


def repeat(rng: Random, tree: Tree, marks: Marks) -> None:
    del marks
    found = lists(tree)
    if found:
        chosen = rng.choice(found)
        chosen.insert(rng.randrange(len(chosen)), rng.choice(chosen))


def identify(rng: Random, tree: Tree, marks: Marks) -> None:
    """A field that every kind has: right, wrong or odd."""
    name = rng.choice(("profile_id", "kind", "observed_at"))
    right = {"profile_id": "simulated-active", "kind": "features", "observed_at": 1_600_000_000_000}
    tree[name] = right[name] if rng.random() < 0.3 else odd(rng, marks)
    if name == "observed_at" and rng.random() < 0.5:
        tree[name] = rng.choice(ODD_TEXT)


def unknown(rng: Random, tree: Tree, marks: Marks) -> None:
    """A field that nobody knows, which is no reason to refuse a record."""
    tree[rng.choice(("x", "extra", "Values", "\u0000", "é"))] = odd(rng, marks)


def alias(rng: Random, tree: Tree, marks: Marks) -> None:
    """Names in snake_case, or in both forms."""
    for name in list(tree):
        if snake(name) != name and rng.random() < 0.7:
            tree[snake(name)] = tree[name] if rng.random() < 0.7 else odd(rng, marks)
            if rng.random() < 0.8:
                del tree[name]


def strange_kind(rng: Random, tree: Tree, marks: Marks) -> None:
    """Fields of another kind beside its own."""
    for _ in range(rng.choice((1, 2, 4))):
        tree[rng.choice(FIELDS)] = odd(rng, marks)


TREE_MUTATIONS: Final[tuple[Callable[[Random, Tree, Marks], None], ...]] = (
    replace, replace, replace, drop, rename, wrap, swap, arithmetic, all_numbers, all_null,
    all_empty, lengthen, widen, shuffle, repeat, identify, unknown, alias, strange_kind,
)  # fmt: skip
