"""The lowest version of each runtime dependency that pyproject.toml lets in, as requirements."""

import re
import tomllib
from itertools import chain
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
_BOUND = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?>=([0-9.]+)")


def lowest() -> list[str]:
    """Requirements of the form ``name==version``.

    Raises:
        ValueError: a dependency without a lower bound.
    """
    found = []
    extras = PROJECT["optional-dependencies"].values()
    for text in (*PROJECT["dependencies"], *chain.from_iterable(extras)):
        bound = _BOUND.match(text)
        if bound is None:
            raise ValueError(f"pyproject.toml: expected {text!r} to begin with name>=version")
        found.append(f"{bound[1]}=={bound[2]}")
    # An extra may ask for more of a dependency that there is without it.
    return list(dict.fromkeys(found))


if __name__ == "__main__":
    print("\n".join(lowest()))
