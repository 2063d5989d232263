"""Shown: text that came off a topic, as terminals, logs and other programs may see it.

Whoever writes to a topic chooses ids, feature names and reasons. Printed as they are, control
characters would move the cursor, set the clipboard (OSC 52) or begin a new log line, and
bidirectional and invisible ones would show another text than there is.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Any, Final

import orjson

ESCAPED: Final = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode categories that are never shown as they are: control and format characters, halves of
surrogate pairs, separators of lines and paragraphs."""

LONGEST: Final = 300
"""Characters of a text that health, and errors of the model directory, show."""

_NO_SIGN = b"\x7f"
_BLANKS = str.maketrans("\t\n\r", "   ")
_ARTEFACT = re.compile(r"([a-z]+/)[A-Za-z0-9_~%-]{1,300}-([0-9a-f]{16})(?![0-9A-Za-z])")


def printable(text: str) -> str:
    r"""The text with each character of ``ESCAPED`` as an escape, such as \x1b, \u202e.

    Nothing else changes: a backslash stays one, so the text cannot be read back for certain.
    """
    if text.isprintable():
        return text
    return "".join(_escape(sign) if _is_escaped(sign) else sign for sign in text)


def shortened(text: str, most: int = LONGEST) -> str:
    """The text, its end left out if it has more than ``most`` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def named(text: str, most: int = LONGEST) -> str:
    """The printable text without the ids in paths of artefacts, and short.

    A path keeps its kind and the digest that the profile's directory ends with.
    """
    return printable(shortened(_ARTEFACT.sub(r"\1…-\2", text), most))


def key_digest(key: bytes) -> str:
    """What logs call a record's key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(key).hexdigest()[:16]


def dumped(value: Any, *, indent: bool = False) -> bytes:
    """A value as JSON that holds no character of ``ESCAPED``, line feeds between lines aside."""
    return escaped(orjson.dumps(value, option=orjson.OPT_INDENT_2 if indent else None))


def json_line(raw: bytes) -> bytes:
    """Valid JSON in one line; it decodes to the same."""
    text = escaped(raw).decode()
    # In a string they are escapes already: what is left stands between tokens.
    return text.translate(_BLANKS).encode()


def escaped(raw: bytes) -> bytes:
    r"""Valid JSON, characters of ``ESCAPED`` in its strings as \uXXXX; it decodes to the same."""
    if raw.isascii() and _NO_SIGN not in raw:
        return raw
    text = raw.decode()
    if text.isprintable():
        return raw
    return "".join(
        _json_escape(sign) if sign not in "\t\n\r" and _is_escaped(sign) else sign for sign in text
    ).encode()


def _is_escaped(sign: str) -> bool:
    return unicodedata.category(sign) in ESCAPED


def _escape(sign: str) -> str:
    if sign <= "\x7f":
        return f"\\x{ord(sign):02x}"
    return sign.encode("ascii", "backslashreplace").decode()


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
