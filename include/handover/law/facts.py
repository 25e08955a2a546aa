"""What gates look at: what a case states, what was counted in the data; how a path finds a fact."""

from __future__ import annotations

import hashlib
import types
from collections.abc import Iterable
from datetime import date
from typing import Any, Literal, Union, get_args, get_origin

import rfc8785
from pydantic import BaseModel

from handover.model.base import Frozen
from handover.model.legal_terms import Persons, TransactionType, Words
from handover.model.matter import Matter, Operation
from handover.model.stated import Stateable

Planned = Literal["copy", "copy_pseudonymised", "keep", "restrict", "pseudonymise", "archive", "erase"]
Outcome = Literal["restrict", "split", "may_erase", "must_erase"]


class OutgoingColumn(Frozen):
    """A column that leaves for the recipient, with the recipient's purpose that needs it."""

    data_set: Words
    column: Words
    sensitive: bool
    authentication: bool
    purpose: Words | None = None
    collected_for: Words | None = None


class RowClass(Frozen):
    """A class of rows: what is planned for it and what the retention arithmetic allows."""

    name: Words
    data_set: Words
    planned: Planned | None = None
    outcome: Outcome | None = None


class Transform(Frozen):
    """A transformation of personal data and what its result is called."""

    kind: Literal["mask", "keyed_hash", "token", "encryption", "format_preserving", "aggregate", "suppress"]
    label: Literal["de-identified", "anonymised"]
    key_destroyed: bool | None = None
    reidentification_tested: bool | None = None


class DataFacts(Stateable):
    """Counts and classes from data map, scope and quality checks. ``scope_persons``: all that the matter
    could concern; ``persons``: those in the batch; ``handler_persons``: all whose data the giver holds."""

    scope_persons: Persons | None = None
    persons: Persons | None = None
    handler_persons: Persons | None = None
    exported_persons: Persons | None = None
    sensitive_persons: Persons | None = None
    minors: Persons | None = None
    copied_persons: Persons | None = None
    without_separate_consent: Persons | None = None
    without_sensitive_consent: Persons | None = None
    without_guardian_consent: Persons | None = None
    without_export_consent: Persons | None = None
    withdrawn: Persons | None = None
    operations: tuple[tuple[str, Operation], ...] | None = None
    outgoing: tuple[OutgoingColumn, ...] | None = None
    row_classes: tuple[RowClass, ...] | None = None
    transforms: tuple[Transform, ...] | None = None


class VerifiedFile(Frozen):
    """A document whose bytes were read and have this SHA-256."""

    file: Words
    sha256: str


class Facts(Frozen):
    """One matter on one day."""

    transaction: TransactionType
    on: date
    matter: Matter
    data: DataFacts
    verified: tuple[VerifiedFile, ...] = ()


def values(facts: Facts, path: str) -> list[tuple[str, Any]]:
    """Return label and value of each fact at ``path``; what is unknown, or an empty list, is None."""
    found: list[tuple[str, Any]] = [("", facts)]
    for part in path.split("."):
        found = [pair for label, value in found for pair in _step(label, value, part)]
    return found


def _step(label: str, value: Any, part: str) -> Iterable[tuple[str, Any]]:
    name = part.removesuffix("[]")
    below = f"{label}.{name}" if label else name
    child = None if value is None else getattr(value, name)
    if not part.endswith("[]"):
        yield below, child
    elif not child:
        yield f"{below}[]", None
    else:
        yield from ((f"{below}[{number}]", one) for number, one in enumerate(child))


def path_problem(path: str) -> str | None:
    """Return what is wrong with a path, by the fields that facts can have; None when it is right."""
    here: Any = Facts
    for part in path.split("."):
        name, each = part.removesuffix("[]"), part.endswith("[]")
        if not (isinstance(here, type) and issubclass(here, BaseModel)) or name not in here.model_fields:
            return f"{path}: there is no fact {name!r}"
        here, many = _content(here.model_fields[name].annotation)
        if each and not many:
            return f"{path}: {name} is no list; take [] away"
        if not each and many:
            here = None
    return None


def _content(annotation: Any) -> tuple[Any, bool]:
    """Return the type inside an optional or a list, and whether it is a list."""
    arguments = [one for one in get_args(annotation) if one is not type(None)]
    if get_origin(annotation) in (Union, types.UnionType) and len(arguments) == 1:
        return _content(arguments[0])
    if get_origin(annotation) is tuple:
        return arguments[0], True
    return annotation, False


class Digests:
    """Digests of facts; each path is read once for all the gates that look at it."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._known: dict[str, str] = {}

    def over(self, paths: Iterable[str]) -> str:
        """Return the SHA-256 of the RFC 8785 JSON that gives each path the SHA-256 of its own facts' JSON."""
        return _sha256({path: self._of(path) for path in paths})

    def _of(self, path: str) -> str:
        if path not in self._known:
            found = [[label, _plain(value)] for label, value in values(self._facts, path)]
            self._known[path] = _sha256(found)
        return self._known[path]


def _sha256(document: Any) -> str:
    return hashlib.sha256(rfc8785.dumps(document)).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value.isoformat() if isinstance(value, date) else value
