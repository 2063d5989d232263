"""Paths: JMESPath expressions of a source, and the template of its profile ids, compiled once."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import jmespath
from jmespath.exceptions import JMESPathError
from jmespath.visitor import Options, TreeInterpreter

from processor.ingest.functions import PathFunctions
from processor.records import ConsumerRecord

Roots = Mapping[str, Any]
"""What ``$`` and its like stand for: name with the dollar sign → value."""

Getter = Callable[[Any, Roots], Any]
"""What a path finds in an observation; None for what is not there.

Raises:
    PathFailed: a function of the expression was given what it does not take.
"""

ROOT: Final = "$"
_DOTTED: Final = re.compile(r"\$?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*|\$(?:\.[A-Za-z_]\w*)*", re.ASCII)
# Texts and quoted names are passed over; what is left of a dollar sign is a name of a root.
_ROOTS: Final = re.compile(
    r"""'(?:\\.|[^'\\])*'|`(?:\\.|[^`\\])*`|"(?:\\.|[^"\\])*"|(\$\w*)""", re.ASCII
)


class InvalidPath(ValueError):
    """A path or template that cannot be compiled; the message says why."""


class PathFailed(Exception):
    """A path that does not fit a record; the message says why."""


_OPTIONS: Final = Options(custom_functions=PathFunctions())


class _Interpreter(TreeInterpreter):  # type: ignore[misc]
    """JMESPath with names of roots, which mean the same wherever in an expression they stand."""

    roots: Roots = MappingProxyType({})

    def visit_field(self, node: dict[str, Any], value: Any) -> Any:
        name = node["value"]
        if name[:1] == ROOT and name in self.roots:
            return self.roots[name]
        # Unlike JMESPath's own: an object may have a method of any name.
        return value.get(name) if isinstance(value, dict) else None


def is_dotted(text: str) -> bool:
    """Whether a path is plain: names with dots between them."""
    return _DOTTED.fullmatch(text) is not None


def compile_path(text: str) -> Getter:
    """Compile a JMESPath expression; ``$name`` stands for a root anywhere in it.

    Raises:
        InvalidPath: it is none.
    """
    if is_dotted(text):
        return _dotted(text.split("."))
    quoted = _ROOTS.sub(lambda found: f'"{found[1]}"' if found[1] else found[0], text)
    try:
        parsed = jmespath.compile(quoted).parsed
    except JMESPathError as error:
        raise InvalidPath(f"a JMESPath expression: {str(error).splitlines()[0]}") from None
    except (ValueError, RecursionError) as error:
        raise InvalidPath(f"a JMESPath expression: {error}") from None
    interpreter = _Interpreter(_OPTIONS)

    def evaluate(item: Any, roots: Roots) -> Any:
        interpreter.roots = roots
        try:
            return interpreter.visit(parsed, item)
        # What functions are given is the record's choice, and so are their errors.
        except Exception as error:
            raise PathFailed(f"{text}: {type(error).__name__}: {str(error)[:200]}") from None

    return evaluate


def _dotted(names: list[str]) -> Getter:
    """A plain dotted path, without JMESPath's interpreter."""
    first, *rest = names
    if first[:1] == ROOT:

        def from_root(_: Any, roots: Roots) -> Any:
            found = roots.get(first)
            for name in rest:
                found = found.get(name) if isinstance(found, dict) else None
            return found

        return from_root
    if not rest:

        def member(item: Any, _: Roots) -> Any:
            return item.get(first) if isinstance(item, dict) else None

        return member
    if len(rest) == 1:
        (second,) = rest

        def nested(item: Any, _: Roots) -> Any:
            inner = item.get(first) if isinstance(item, dict) else None
            return inner.get(second) if isinstance(inner, dict) else None

        return nested

    def deep(item: Any, _: Roots) -> Any:
        for name in names:
            item = item.get(name) if isinstance(item, dict) else None
        return item

    return deep


def is_true(found: Any) -> bool:
    """Whether JMESPath holds a value to be true: all but null, false and what is empty."""
    return found is True or not (found is None or found is False or found in ("", [], {}))


Identify = Callable[[Any, Roots, ConsumerRecord], str]
"""The id of the profile that an observation is of.

Raises:
    PathFailed: a part of it is not there, or is neither text nor an integer.
"""


def compile_template(text: str) -> Identify:
    """Compile a template: literal text, and in braces JMESPath or what the record itself has.

    Raises:
        InvalidPath: a brace without its other, or an expression that is none.
    """
    parts = [_part(part, is_path) for part, is_path in _split(text)]
    if not parts:
        raise InvalidPath("text with at least one expression in braces")
    if len(parts) == 1:
        return parts[0]

    def joined(item: Any, roots: Roots, record: ConsumerRecord) -> str:
        return "".join([part(item, roots, record) for part in parts])

    return joined


def _split(text: str) -> list[tuple[str, bool]]:
    """Literal parts and expressions; braces inside an expression are JMESPath's own."""
    parts: list[tuple[str, bool]] = []
    at = 0
    while at < len(text):
        begin = text.find("{", at)
        literal = text[at:] if begin < 0 else text[at:begin]
        if "}" in literal:
            raise InvalidPath("an expression in braces: } without {")
        if literal:
            parts.append((literal, False))
        if begin < 0:
            break
        depth, end = 1, begin + 1
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if depth:
            raise InvalidPath("an expression in braces: { without }")
        parts.append((text[begin + 1 : end - 1].strip(), True))
        at = end
    return parts


def _part(text: str, is_path: bool) -> Identify:
    if not is_path:
        return lambda _item, _roots, _record: text
    if text == "topic":
        return lambda _item, _roots, record: record.topic
    if text == "partition":
        return lambda _item, _roots, record: str(record.partition)
    if text == "key":
        return lambda _item, _roots, record: _text(record.key, "key")
    if text.startswith("header:"):
        name = text.removeprefix("header:").strip()

        def header(_item: Any, _roots: Roots, record: ConsumerRecord) -> str:
            found = next((value for key, value in reversed(record.headers) if key == name), None)
            return _text(found, text)

        return header
    get = compile_path(text)

    def path(item: Any, roots: Roots, _: ConsumerRecord) -> str:
        found = get(item, roots)
        if type(found) is str:
            return found
        if type(found) is int:
            return str(found)
        raise PathFailed(
            f"profile_id {{{text}}}: expected text or an integer, got {kind_of(found)}"
        )

    return path


def _text(raw: bytes | None, what: str) -> str:
    if raw is None:
        raise PathFailed(f"profile_id {{{what}}}: the record has none")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise PathFailed(f"profile_id {{{what}}}: expected UTF-8") from None


def kind_of(found: Any) -> str:
    """What a value is, for people who know JSON."""
    if found is None:
        return "nothing"
    names = {bool: "a boolean", str: "text", dict: "an object", list: "an array"}
    return names.get(type(found), "a number" if isinstance(found, int | float) else "bytes")
