"""What can be wrong with an artefact; apart from ``artifacts``, which imports all detectors."""

from __future__ import annotations


class ArtifactError(Exception):
    """An artefact that is missing, altered, or of a format that this version cannot read."""


class Unavailable(Exception):
    """What a Step needs cannot be had now: nothing may be concluded from that, but to wait."""


class ArtifactUnavailable(ArtifactError, Unavailable):
    """An artefact that may well be there, but cannot be had now: to be tried again."""
