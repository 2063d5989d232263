"""Evidence for controls from settings and the broker; never a secret's value."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from confluent_kafka import KafkaException

from console.governance.reading.evidence import Evidence
from console.governance.reading.fleets import DAY_MS
from console.governance.reading.principals import of_principals
from console.governance.reading.sources import Sources, asks_for_login
from models.governance.compliance import FAIL, PARTIAL, PASS, UNKNOWN, Status
from processor.kafka import config as kafka
from processor.kafka.admin import retention
from processor.kafka.reading import ToolError
from processor.settings import SettingsError
from processor.topics import Topics

MOST_KEPT = 30 * DAY_MS
ENCRYPTED = ("SSL", "SASL_SSL")


def of_surroundings(console: Sources) -> Evidence:
    """What can be seen of P2–P7."""
    # Both wait for the broker, which may be away.
    with ThreadPoolExecutor(2) as pool:
        retained = pool.submit(_retention, console)
        principals = pool.submit(of_principals, console.kafka)
    return {
        "P2": retained.result(),
        "P3": _kafka(console),
        "P4": principals.result(),
        "P5": _login(console),
        "P6": _silent(console),
        "P7": (PASS, "reports hide groups of fewer than 5 profiles, and what would tell them"),
    }


def _retention(console: Sources) -> tuple[Status, str]:
    topics = Topics(console.kafka.topic_prefix)
    try:
        held = retention(console.kafka, topics)
    except (KafkaException, ToolError, SettingsError):
        return UNKNOWN, "the broker did not say how long topics are kept"
    names = [topics.dead_letter, *topics.kinds()]
    known: dict[str, Any] = {name: held[name] for name in names if held.get(name) is not None}
    if not known:
        return UNKNOWN, "the broker did not say how long topics are kept"
    long = sorted(name for name, ms in known.items() if ms < 0 or ms > MOST_KEPT)
    if long:
        status: Status = PARTIAL if len(long) < len(known) else FAIL
        return status, f"kept for more than 30 days: {', '.join(long)}"
    most = max(known.values()) / DAY_MS
    return PASS, f"{len(known)} topics are kept for at most {most:.0f} days"


def _kafka(console: Sources) -> tuple[Status, str]:
    try:
        told = str(kafka.base(console.kafka).get("security.protocol", "PLAINTEXT")).upper()
        names = kafka.base(console.kafka)
    except SettingsError:
        return UNKNOWN, "TELLTALE_KAFKA_CONFIG cannot be read"
    login = told.startswith("SASL") or any(name.startswith("ssl.key") for name in names)
    encrypted = told in ENCRYPTED
    status: Status = PASS if login and encrypted else PARTIAL if login or encrypted else FAIL
    return status, f"security.protocol is {told}; a login is {'' if login else 'not '}configured"


def _login(console: Sources) -> tuple[Status, str]:
    if not asks_for_login(console.settings):
        return FAIL, "anyone on this machine may do anything: there is no secret"
    hours = console.settings.jwt_hours
    told = f"login is on; the console's own tokens hold for {hours:g} h"
    if console.settings.jwt_jwks is not None:
        return PARTIAL, f"{told}; how long those of the issuer hold is not known"
    return (PASS if hours <= 24 else FAIL), told


def _silent(console: Sources) -> tuple[Status, str]:
    days = console.kafka.profile_ttl_days
    if days > 0:
        return PASS, f"profiles that are silent for {days:g} days are forgotten"
    return FAIL, "TELLTALE_PROFILE_TTL_DAYS is 0: silent profiles are kept for ever"
