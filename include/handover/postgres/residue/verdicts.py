"""What a check says of a place, and what it looks at: the connection, what was done, what is searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from handover.model.policy import Text
from handover.model.residue import Cleaning, Outcome, Place
from handover.postgres.residue.searching import Find
from handover.postgres.session import Connection

_RIGHT_TO_READ = Text(zh="缺少权限：读取系统目录", en="missing right: reading the system catalog")
# Names in a reason; the rest is counted.
_MOST_NAMES = 8


@dataclass(frozen=True)
class Look:
    """``scratch``: databases of this system on the server, which must be gone."""

    connection: Connection
    cleaning: Cleaning
    find: Find
    scratch: Sequence[str]


@dataclass(frozen=True)
class Verdict:
    """An outcome with its reasons."""

    outcome: Outcome
    reasons: tuple[Text, ...] = ()
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """How one place is looked at, and the right that an ordinary role may lack for it."""

    place: Place
    how: Text
    look: Callable[[Look], Verdict]
    right: Text = _RIGHT_TO_READ


def names_text(names: Sequence[str]) -> str:
    """Return names for a reason; a certificate has no room for a thousand."""
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} … ({len(names)})"


def none_there(count: int, reason: Text, what: str) -> Verdict:
    """Return the verdict on things whose mere presence leaves a doubt."""
    if count:
        return Verdict("cannot be verified", (reason,), {what: count})
    return Verdict("not present", counts={what: 0})
