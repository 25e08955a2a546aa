"""The copies of the keyring that its keeper declares, and which of them were destroyed.

Only the keeper knows them: a copy of the keyring with its roots opens what the keys in it opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from handover.errors import ConfigurationMissing

SETTING = "HANDOVER_KEY_COPIES"
_DESTROYED = "= destroyed"


@dataclass(frozen=True)
class DeclaredCopy:
    """Where a copy is, a path or any words; ``destroyed``: since when it is not, None while it is there."""

    place: str
    destroyed: date | None = None


def declared_copies(variables: Mapping[str, str]) -> tuple[DeclaredCopy, ...]:
    """Return what the setting says: ``place; place = destroyed 2026-11-22``.

    Raises ConfigurationMissing for what cannot be read.
    """
    return tuple(_copy(part) for part in variables.get(SETTING, "").split(";") if part.strip())


def _copy(part: str) -> DeclaredCopy:
    place, said, day = part.partition(_DESTROYED)
    try:
        if not place.strip():
            raise ValueError(part)
        return DeclaredCopy(place.strip(), date.fromisoformat(day.strip()) if said else None)
    except ValueError:
        raise ConfigurationMissing(
            f"{SETTING}: {part.strip()!r} names no place, or no day",
            hint='write "safe in Shanghai; office server = destroyed 2026-11-22"',
        ) from None
