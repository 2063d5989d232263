"""What pydantic found wrong, as a sentence."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from schemas.base import _EXPLAINED, _path, _shown


def explain(error: ValidationError) -> str:
    """One sentence for what is wrong: path, what was expected, what came; the first 3 errors.

    ASCII only, and short whatever the input was. Never raises.
    """
    problems = error.errors(include_url=False, include_context=False)
    told = "; ".join(_sentence(problem) for problem in problems[:_EXPLAINED])
    more = len(problems) - _EXPLAINED
    return f"{told}; and {more} more" if more > 0 else told


def _sentence(problem: Any) -> str:
    path = _path(problem["loc"])
    if problem["type"] == "missing":
        return f"{path} is required, but absent"
    message = str(problem["msg"]).removeprefix("Value error, ")
    message = message.removeprefix("Input ").encode("ascii", "backslashreplace").decode("ascii")
    return f"{path} {message}, got {_shown(problem['input'])}"
