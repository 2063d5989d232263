"""Texts that a producer may choose, and that no terminal is to see as they are."""

import unicodedata
from typing import Final

TEXTS: Final = {
    "clears the screen": "\x1b[2J",
    "sets the clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "begins a line": "\r\n",
    "deletes": "\x08\x7f",
    "writes from right to left": "\u202e",
    "isolates": "\u2066",
    "is not seen": "\u200b",
    "is a byte order mark": "\ufeff",
    "separates lines": "\u2028",
    "separates paragraphs": "\u2029",
    "is the next line": "\x85",
    "is a tag": "\U000e0041",
}
LONE: Final = "\ud800"
"""Half of a surrogate pair: no JSON and no UTF-8 holds it."""

MARKUP: Final = "[red]name[/red][/] :smile: \\[x]"
"""What rich would take for markup."""

EVERY: Final = "".join(TEXTS.values())


def raw(text: str) -> list[str]:
    """The characters of an output that should have been escapes; it has its own line feeds."""
    return [
        sign
        for sign in text
        if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") and sign != "\n"
    ]
