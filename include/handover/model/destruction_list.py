"""A destruction list of accounting archives (会计档案销毁清册) as made for a run, and what it must not hold.

Accounting archive measures 18 and 19 (ACC-18, ACC-19): what is still to be kept, what must be kept for ever
and what belongs to an open matter can stand on no list; open matters stand on an annex and stay.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Literal, Self

import rfc8785
from pydantic import Field, model_validator

from handover.model.base import Frozen
from handover.model.handover_list import Duration
from handover.model.legal_terms import Persons, Words
from handover.model.matter import Sha256, Uscc
from handover.model.policy import RuleId, Text

OpinionRole = Literal["unit_head", "archive_head", "accounting_head", "archive_handler", "accounting_handler"]
SupervisorRole = Literal["archive_supervisor", "accounting_supervisor", "system_supervisor"]
Kind = Literal["electronic", "paper"]
# The names are those of the clauses that gates ACC-18 and ACC-18.supervised ask for.
OPINIONS: dict[OpinionRole, Text] = {
    "unit_head": Text(zh="单位负责人", en="head of the unit"),
    "archive_head": Text(zh="档案管理机构负责人", en="head of the archives body"),
    "accounting_head": Text(zh="会计管理机构负责人", en="head of the accounting body"),
    "archive_handler": Text(zh="档案管理机构经办人", en="handler of the archives body"),
    "accounting_handler": Text(zh="会计管理机构经办人", en="handler of the accounting body"),
}
SUPERVISORS: dict[SupervisorRole, Text] = {
    "archive_supervisor": Text(zh="档案管理机构监销人", en="supervisor of the archives body"),
    "accounting_supervisor": Text(zh="会计管理机构监销人", en="supervisor of the accounting body"),
    "system_supervisor": Text(zh="信息系统管理机构监销人", en="supervisor of the information-system body"),
}
KINDS: dict[Kind, Text] = {
    "electronic": Text(zh="电子", en="electronic"),
    "paper": Text(zh="纸质", en="paper"),
}


class ListedRows(Frozen):
    """Rows of one class and table in a volume; ``digest`` is keyed, over those rows as they were archived."""

    row_class: Words
    table: Words
    rows: Persons
    digest: Sha256


class HoldCheck(Frozen):
    """When open matters over a volume were last looked up, and those that were found."""

    on: date
    open: tuple[Words, ...] = ()


class ListedVolume(Frozen):
    """A line of the list: the volume, how long it had to be kept and was, and what destroys how much of it.

    ``required_years`` None would mean permanently, ``keep_until`` is the last day of the period.
    """

    archive: Words
    code: Words
    number: Annotated[int, Field(ge=1)]
    volumes: Annotated[int, Field(ge=1)]
    first_year: int
    last_year: int
    rule: RuleId
    required_years: int | None
    kept: Duration
    keep_until: date | None
    destroy_on: date
    kind: Kind
    medium: Words
    format: Words
    system: Words
    contents: tuple[ListedRows, ...]
    holds: HoldCheck

    @property
    def name(self) -> str:
        """Return how messages name it."""
        return f"{self.code} {self.archive}, volume {self.number} of {self.volumes}"

    @property
    def rows(self) -> int:
        """Return how many rows it holds."""
        return sum(one.rows for one in self.contents)

    @model_validator(mode="after")
    def _may_be_destroyed(self) -> Self:
        if self.required_years is None or self.keep_until is None:
            raise ValueError(f"{self.name}: is kept permanently ({self.rule}); take it off the list")
        if self.keep_until >= self.destroy_on:
            raise ValueError(
                f"{self.name}: must be kept until {self.keep_until}, so it cannot go on {self.destroy_on}"
            )
        if self.holds.open:
            raise ValueError(
                f"{self.name}: open matters ({', '.join(self.holds.open)}); it belongs on the annex (ACC-19)"
            )
        if self.number > self.volumes or self.first_year > self.last_year:
            raise ValueError(f"{self.name}: {self.first_year}–{self.last_year} is no volume of the archive")
        return self


class OpenMatter(Frozen):
    """A line of the annex: rows pulled out because a claim or matter is not settled; they are kept apart."""

    archive: Words
    code: Words
    first_year: int
    last_year: int
    row_class: Words
    table: Words
    rows: Persons
    matter: Words
    kept_at: Words


class DestructionList(Frozen):
    """The whole list. ``edition`` counts how often it was made in this run; ``requested_by`` asked for it."""

    number: Words
    edition: Annotated[int, Field(ge=1)]
    case: Words
    run: Words
    title: Words
    unit: Words
    uscc: Uscc | None
    compiled_on: date
    compiled_by: Words
    requested_by: Words
    appraisal: Words
    volumes: Annotated[tuple[ListedVolume, ...], Field(min_length=1)]
    annex: tuple[OpenMatter, ...]

    @model_validator(mode="after")
    def _names_each_once(self) -> Self:
        seen: set[tuple[str, int]] = set()
        for volume in self.volumes:
            if (volume.code, volume.number) in seen:
                raise ValueError(f"{volume.name}: listed twice; list each volume once")
            seen.add((volume.code, volume.number))
            if volume.destroy_on < self.compiled_on or volume.holds.on > self.compiled_on:
                raise ValueError(
                    f"{volume.name}: open matters are looked up first, then the list is compiled "
                    f"({self.compiled_on}), then it may go"
                )
        return self

    @property
    def supervisors(self) -> tuple[SupervisorRole, ...]:
        """Return who must supervise: electronic files bring the information-system body in."""
        electronic = any(volume.kind == "electronic" for volume in self.volumes)
        return tuple(role for role in SUPERVISORS if electronic or role != "system_supervisor")

    @property
    def destroy_from(self) -> date:
        """Return the first day on which everything listed may go."""
        return max(volume.destroy_on for volume in self.volumes)

    @property
    def tables(self) -> list[tuple[str, str]]:
        """Return every class and table that is listed, in order, each once."""
        return sorted({(one.row_class, one.table) for volume in self.volumes for one in volume.contents})

    def rows_of(self, row_class: str, table: str) -> int:
        """Return how many rows of a class and table are listed."""
        listed = (one for volume in self.volumes for one in volume.contents)
        return sum(one.rows for one in listed if (one.row_class, one.table) == (row_class, table))

    @cached_property
    def json_bytes(self) -> bytes:
        """The form that opinions and signatures are bound to."""
        return rfc8785.dumps(self.document())  # type: ignore[arg-type]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of that form."""
        return self.sha256_of_json()
