"""How far a destruction list has come: the list in force and the acts that count for it.

draft → appraised → approved by five opinions → checked by the supervisors → executed → signed by the
supervisors → archived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, TypeVar

from handover.model.destruction_acts import Act, Appraisal, Archived, Execution, Opinion, PreCheck, Supervised
from handover.model.destruction_list import OPINIONS, SUPERVISORS, DestructionList
from handover.model.policy import Text

State = Literal["none", "draft", "appraised", "approved", "checked", "executed", "supervised", "archived"]
STATES: dict[State, Text] = {
    "none": Text(zh="未编制", en="not made"),
    "draft": Text(zh="已编制，待鉴定", en="drafted"),
    "appraised": Text(zh="已鉴定，待签署意见", en="appraised"),
    "approved": Text(zh="五方意见齐备，待监销人事前核对", en="five opinions given"),
    "checked": Text(zh="监销人已事前核对，可以销毁", en="checked by the supervisors, may be destroyed"),
    "executed": Text(zh="已销毁，待监销人签章", en="executed"),
    "supervised": Text(zh="监销人已签章，待归档", en="signed by the supervisors"),
    "archived": Text(zh="已归档，永久保管", en="archived, kept permanently"),
}
_ORDER = tuple(STATES)
_Kind = TypeVar("_Kind", bound=Act)


@dataclass(frozen=True)
class Recorded:
    """An act as the ledger holds it; ``at`` is the ledger's clock, in the zone whose days the law counts."""

    at: datetime
    act: Act

    @property
    def day(self) -> date:
        """Return the day on which it was registered."""
        return self.at.date()


@dataclass(frozen=True)
class Standing:
    """The list in force, the acts that count for it, and the faults of those that do not."""

    made: DestructionList | None = None
    recorded: tuple[Recorded, ...] = ()
    faults: tuple[str, ...] = ()

    def acts(self, kind: type[_Kind]) -> tuple[_Kind, ...]:
        """Return the acts of a kind that count."""
        return tuple(one.act for one in self.recorded if isinstance(one.act, kind))

    @property
    def missing(self) -> tuple[str, ...]:
        """Return who or what the next state waits for; nothing once the list is archived."""
        return next((said for _, said in self._steps() if said), ())

    @property
    def state(self) -> State:
        """Return how far the list has come."""
        done: State = "none"
        for state, said in self._steps():
            if said:
                return done
            done = state
        return done

    def reached(self, state: State) -> bool:
        """Say whether the list has come so far."""
        return _ORDER.index(self.state) >= _ORDER.index(state)

    def _steps(self) -> Iterable[tuple[State, tuple[str, ...]]]:
        yield "draft", () if self.made else ("a destruction list (销毁清册)",)
        yield "appraised", () if self.acts(Appraisal) else ("the appraisal opinion (鉴定意见书)",)
        yield "approved", _waiting("the opinion of", OPINIONS, tuple(OPINIONS), self.acts(Opinion))
        who = self.made.supervisors if self.made else ()
        yield "checked", _waiting("the check before by", SUPERVISORS, who, self.acts(PreCheck))
        yield "executed", () if self.acts(Execution) else ("the destruction itself (销毁)",)
        yield "supervised", _waiting("the signature after by", SUPERVISORS, who, self.acts(Supervised))
        yield "archived", () if self.acts(Archived) else ("the signed list in the archives (归档)",)


def _waiting(
    what: str, words: Mapping[Any, Text], wanted: Sequence[str], given: Iterable[Any]
) -> tuple[str, ...]:
    """Return what is still to come from the wanted roles; who does not agree ends the list."""
    agreed = {one.role: getattr(one, "agrees", True) for one in given}
    return tuple(
        f"{role} ({words[role].zh}) does not agree: a list made anew"
        if role in agreed
        else f"{what} {role} ({words[role].zh})"
        for role in wanted
        if not agreed.get(role, False)
    )
