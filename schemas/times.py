"""Times as people and producers write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt]([01]\d|2[0-3]):([0-5]\d):([0-5]\d|60)(?:\.(\d++))?"
    r"(?:[Zz]|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII,
)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339_ms(text: str) -> int:
    """Epoch milliseconds of an RFC 3339 date and time with zone; digits below 1 ms are cut off.

    A leap second (``:60``) is the instant that POSIX gives it: the first of the next minute.

    Raises:
        ValueError: not such a text, or no such day.
    """
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("is neither epoch milliseconds nor an RFC 3339 time with zone")
    day, hour, minute, second, fraction, sign, zone_hours, zone_minutes = match.groups()
    try:
        midnight = datetime.fromisoformat(day).replace(tzinfo=UTC)
    except ValueError:
        raise ValueError("is an RFC 3339 time of a day that does not exist") from None
    east = 0 if sign is None else int(zone_hours) * 60 + int(zone_minutes)
    minutes = int(hour) * 60 + int(minute) + (east if sign == "-" else -east)
    seconds = minutes * 60 + int(second)
    millis = int((fraction or "")[:3].ljust(3, "0"))
    return (midnight - _EPOCH) // timedelta(milliseconds=1) + seconds * 1000 + millis
