"""Colours and shapes of the charts: severities are told apart by lightness and shape as well."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final, Literal

Theme = Literal["light", "dark"]
SEVERITIES: Final = ("low", "medium", "high", "critical")
SHAPES: Final = {"low": "circle", "medium": "square", "high": "diamond", "critical": "star"}
"""Severity → the mark's symbol, for those who do not see the colours."""


@dataclass(frozen=True)
class Palette:
    """Colours of a theme; text has a contrast of 4.5 at least, whatever else is read one of 3.

    A test holds severities apart for people with protanopia, deuteranopia and tritanopia as well.

    Attributes:
        lane: where nothing happened.
        band: what is expected.
    """

    paper: str
    text: str
    muted: str
    grid: str
    lane: str
    low: str
    medium: str
    high: str
    critical: str
    line: str
    second: str
    band: str
    threshold: str
    suppression: str
    learning: str
    version: str
    shift: str

    def of(self, name: str) -> str:
        """The colour of a severity, or of a kind of span."""
        found = asdict(self).get(name)
        if found is None:
            raise KeyError(f"name: expected a colour of the palette, got {name!r}")
        return str(found)


LIGHT: Final = Palette(
    paper="#ffffff",
    text="#131c27",
    muted="#4f5d6e",
    grid="#e6ebf1",
    lane="#f4f6f9",
    low="#4f94d4",
    medium="#bb8200",
    high="#b03500",
    critical="#680019",
    line="#0b5cb8",
    second="#8a5a00",
    band="rgba(11, 92, 184, 0.15)",
    threshold="#6b3fa0",
    suppression="rgba(110, 119, 129, 0.22)",
    learning="rgba(46, 132, 74, 0.16)",
    version="#5b6570",
    shift="rgba(184, 110, 0, 0.18)",
)
DARK: Final = Palette(
    paper="#18202a",
    text="#e8edf3",
    muted="#a3b1c2",
    grid="#2a3541",
    lane="#1f2833",
    low="#5f93d0",
    medium="#f7dc6f",
    high="#f0883a",
    critical="#ea3f55",
    line="#7db8ff",
    second="#d9a441",
    band="rgba(125, 184, 255, 0.18)",
    threshold="#b99aff",
    suppression="rgba(154, 167, 180, 0.24)",
    learning="rgba(86, 196, 120, 0.18)",
    version="#8b98a5",
    shift="rgba(224, 176, 74, 0.2)",
)
PALETTES: Final[dict[Theme, Palette]] = {"light": LIGHT, "dark": DARK}


def variables(palette: Palette = LIGHT) -> dict[str, str]:
    """Colour of a palette → the custom property of the pages that has it in every theme.

    >>> variables()[LIGHT.critical]
    'var(--chart-critical)'
    """
    return {colour: f"var(--chart-{name})" for name, colour in asdict(palette).items()}


def style() -> str:
    """The custom properties, as a rule of a stylesheet.

    >>> style().splitlines()[1]
    '  --chart-paper: light-dark(#ffffff, #18202a);'
    """
    dark = asdict(DARK)
    lines = [
        f"  --chart-{name}: light-dark({colour}, {dark[name]});"
        for name, colour in asdict(LIGHT).items()
    ]
    return "\n".join([":root {", *lines, "}"]) + "\n"
