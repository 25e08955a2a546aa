"""A case: one matter, described in a YAML file that names connections but holds nothing secret.

Everything a person can write wrong is refused here, with the field, the value and the remedy.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from handover.errors import CaseInvalid
from handover.model.approval import Approvals
from handover.model.base import Frozen
from handover.model.consent import ConsentRecords
from handover.model.cutover import FREEZE_SCHEMA, Cutover
from handover.model.disposal import DeclaredStore, Disposal
from handover.model.disposition import COPIED, GOING, RowClass
from handover.model.ledger_list import LedgerHandover, ledger_problems
from handover.model.legal_terms import TransactionType
from handover.model.masking import Pseudonyms
from handover.model.matter import Matter
from handover.model.reconciliation import Reconciliation
from handover.model.scope import Scope
from handover.model.strict_yaml import read_mapping

DAILY = ("retention", "request", "backup")
CASE_ID = r"^[a-z0-9][a-z0-9-]{1,62}$"
CaseId = Annotated[str, StringConstraints(pattern=CASE_ID)]


def _is_address(text: str) -> bool:
    return any(sign in text for sign in ("://", "=", "@"))


def _no_address(value: object) -> object:
    """Refuse an address in place of a connection's id without repeating it: it may hold a password."""
    if isinstance(value, str) and _is_address(value):
        raise ValueError("holds an address; give it to `airflow connections add ID` and write only the id")
    return value


ConnectionId = Annotated[
    str, BeforeValidator(_no_address), StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,200}$")
]
# PostgreSQL cuts identifiers at 63 bytes; a longer name could silently mean another schema.
IDENTIFIER_BYTES = 63


def _fits(name: str) -> str:
    if len(name.encode()) > IDENTIFIER_BYTES:
        raise ValueError(f"{name!r} is longer than {IDENTIFIER_BYTES} bytes; no schema can have that name")
    return name


Identifier = Annotated[str, StringConstraints(min_length=1), AfterValidator(_fits)]
RECEIPTS_SCHEMA = "handover"
OURS = (RECEIPTS_SCHEMA, FREEZE_SCHEMA)


class Party(Frozen):
    """A company that takes part in the case."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Parties(Frozen):
    """Who gives and who receives."""

    giver: Party
    recipient: Party


class Source(Frozen):
    """The database whose schemas are handed over."""

    connection: ConnectionId
    schemas: Annotated[tuple[Identifier, ...], Field(min_length=1)]
    large_objects: bool = True

    @model_validator(mode="after")
    def _schemas_make_sense(self) -> Source:
        if len(set(self.schemas)) != len(self.schemas):
            raise ValueError("schemas names a schema twice; name each one once")
        for name in self.schemas:
            if name in OURS or name.startswith("pg_") or name == "information_schema":
                raise ValueError(f"schemas names {name!r}, which is never handed over; take it out")
        return self


class Target(Frozen):
    """The database that receives them."""

    connection: ConnectionId


class RestoreTest(Frozen):
    """A connection on whose server a scratch database may be created and dropped."""

    connection: ConnectionId


class Case(Frozen):
    """One matter. ``acknowledge`` lists ids of findings that a person has read and accepts.

    ``expectations`` names suites under ``include/expectations``, beside those made from the inventory.
    Without ``approvals`` nobody is asked, without ``policy`` (packs as ``pack@version``) no gate is judged,
    and the ledger says so. Without ``scope`` all rows are in scope, and ``consents`` cannot leave any out.
    ``target`` is that of a transfer; a deregistration has none. The kinds of DAILY are made from registered
    sources, not written; ``as_of`` is the day on which the law is asked about their rows, otherwise today.
    ``datamap``: the name of a data map that several cases of a database share. ``request``: the id of the
    request beside whose person's rows nothing is in scope.
    """

    case: CaseId
    title: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    kind: Literal["transfer", "deregistration", "retention", "request", "backup"]
    transaction: TransactionType
    parties: Parties
    source: Source
    target: Target | None = None
    restore_test: RestoreTest
    lanes: Annotated[int, Field(ge=1, le=64)] = 2
    snapshot_hours: Annotated[int, Field(ge=1, le=168)] = 12
    acknowledge: tuple[str, ...] = ()
    expectations: tuple[CaseId, ...] = ()
    reconciliation: Reconciliation = Reconciliation()
    approvals: Approvals | None = None
    policy: tuple[str, ...] = ()
    matter: Matter = Matter()
    scope: Scope | None = None
    classes: tuple[RowClass, ...] = ()
    consents: tuple[ConsentRecords, ...] = ()
    ledger: LedgerHandover | None = None
    cutover: Cutover = Cutover()
    pseudonyms: Pseudonyms = Pseudonyms()
    stores: tuple[DeclaredStore, ...] = ()
    disposal: Disposal = Disposal()
    as_of: date | None = None
    datamap: CaseId | None = None
    request: CaseId | None = None

    @property
    def mapped_as(self) -> str:
        """Return the name of its data map: its own unless it says another one's."""
        return self.datamap or self.case

    @property
    def deletion_duty(self) -> Literal["request"] | None:
        """Return what obliges to delete its rows, where anything but their periods does."""
        return "request" if self.kind == "request" else None

    @property
    def is_daily(self) -> bool:
        """Say whether it is made from a registered source: of a living company, whose tables stay in use."""
        return self.kind in DAILY

    @model_validator(mode="after")
    def _parts_fit(self) -> Case:
        if self.scope and self.source.large_objects:
            raise ValueError(
                "a scope cannot say which large objects belong to it; write source.large_objects: false"
            )
        if self.source.large_objects and any(one.target == "copy_pseudonymised" for one in self.classes):
            raise ValueError(
                "large objects arrive as they are, whoever they show; write source.large_objects: false "
                "where classes are copied pseudonymised"
            )
        names = [one.name for one in self.classes]
        if len(set(names)) != len(names):
            raise ValueError("classes names a class twice; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _ledger_fits(self) -> Case:
        if self.ledger:
            problems = list(ledger_problems(self.ledger, self.reconciliation))
            if self.policy and self.ledger.pack not in self.policy:
                problems.append(f"ledger.pack {self.ledger.pack} is not one of policy; name the same version")
            if problems:
                raise ValueError("; ".join(problems))
        return self

    @model_validator(mode="after")
    def _kind_fits(self) -> Case:
        if (self.kind == "transfer") != (self.target is not None):
            raise ValueError(
                "kind: transfer needs a target, kind: deregistration has none: what is kept is archived"
            )
        if self.approvals and (self.approvals.accept is None) != (self.target is None):
            raise ValueError(
                "approvals.accept is for the receiving side: a transfer needs it, no other case has it"
            )
        for one in self.classes:
            if (one.target == "archive" and self.target) or (one.target in COPIED and not self.target):
                raise ValueError(
                    f"class {one.name!r} has target: {one.target}; rows are copied in a transfer, "
                    "archived in a deregistration"
                )
            if self.target and one.target == "nothing" and one.source in GOING:
                raise ValueError(
                    f"class {one.name!r} is to be changed at the source and is not handed over, so that no "
                    "backup would hold it; a transfer disposes of what it hands over: write source: restrict"
                )
        names = [store.name for store in self.stores]
        if len(set(names)) != len(names):
            raise ValueError("stores names a store twice; give each a name of its own")
        return self

    @model_validator(mode="after")
    def _ends_differ(self) -> Case:
        if self.target and self.source.connection == self.target.connection:
            raise ValueError(
                f"source.connection and target.connection are both {self.source.connection!r}; "
                "a transfer needs two databases"
            )
        return self


def explain(what: str, problem: ValidationError) -> tuple[str, str]:
    """Return message and hint: a line for every complaint of the validator, with field, value and remedy."""
    lines = []
    for error in problem.errors(include_url=False):
        field = ".".join(str(part) for part in error["loc"]) or "case"
        if error["type"] == "extra_forbidden":
            lines.append(f"{field}: unknown key; take it out or correct its spelling")
        elif error["type"] == "missing":
            lines.append(f"{field}: missing; add it")
        elif error["type"] == "value_error":
            lines.append(f"{field}: {error['ctx']['error']}")
        else:
            given = repr(error["input"])
            shown = "(an address, not repeated here)" if _is_address(given) else given
            lines.append(f"{field}: {shown}: {error['msg'].lower()}")
    message = f"{what} is not valid:\n  " + "\n  ".join(lines)
    return message, "correct the fields named above; `handover case check` tries again"


def parse_case(text: str, path: Path) -> Case:
    """Return the case that ``text`` describes; ``path`` is named in errors.

    Raises CaseInvalid when it is not YAML, not a mapping, or says something impossible.
    """
    start = "start from the commented example include/cases/demo-transfer.yaml"
    _, document = read_mapping(text, f"case file {path.name}", start, CaseInvalid)
    try:
        case = Case.model_validate(document)
    except ValidationError as problem:
        message, hint = explain(f"case file {path.name}", problem)
        fields = [".".join(map(str, error["loc"])) for error in problem.errors()]
        raise CaseInvalid(message, hint=hint, fields=fields) from None
    if case.case != path.stem:
        raise CaseInvalid(
            f"case file {path.name} says case: {case.case}",
            hint=f"name the file {case.case}.yaml or write case: {path.stem}",
        )
    return case


def load_case(folder: Path, case_id: str) -> Case:
    """Read and validate ``folder/case_id.yaml``; a case id can never lead out of the folder."""
    if not re.fullmatch(CASE_ID, case_id):
        raise CaseInvalid(
            f"case id {case_id!r} is not valid",
            hint="2 to 63 small letters, digits and hyphens, as in demo-transfer",
        )
    path = folder / f"{case_id}.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(sorted(p.stem for p in folder.glob("*.yaml"))) or "none"
        raise CaseInvalid(
            f"case {case_id!r} has no file {path.name} in {folder}", hint=f"cases there: {known}"
        ) from None
    except UnicodeDecodeError:
        raise CaseInvalid(f"case file {path.name} is not UTF-8", hint="save it as UTF-8") from None
    except OSError as problem:
        raise CaseInvalid(
            f"case file {path.name} cannot be read: {problem.strerror}", hint="it must be a readable file"
        ) from None
    return parse_case(text, path)
