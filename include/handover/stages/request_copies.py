"""Opens all sources of a request at once: what one knows of the person is looked for in all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from handover.evidence.answer import NamedRows
from handover.model.request import PersonRequest
from handover.stages.person_copy import CopiedTable, PersonCopy
from handover.stages.person_known import Known, known_from
from handover.stages.request_subjects import said_of, subject_of
from handover.stages.requests import Desk

NotSearched = list[tuple[str, str]]  # a source and a column of it


def copied(desk: Desk, one: PersonRequest) -> tuple[list[CopiedTable], NotSearched]:
    """Return the rows of all sources for the person, and what could not be searched."""
    with _opened(desk, one) as (copies, known):
        tables = [table for copy in copies for table in copy.own(known)]
        if one.kind != "portability":  # what only names the person was not given by them
            tables += [table for copy in copies for table in copy.mentions(known)]
        return tables, _not_searched(copies)


def named(desk: Desk, one: PersonRequest) -> tuple[list[NamedRows], NotSearched]:
    """Count the rows that name the person and are not theirs by any data map, in all sources.

    Ask before anything goes: what is known of the person goes with it.
    """
    with _opened(desk, one) as (copies, known):
        return [rows for copy in copies for rows in copy.named(known)], _not_searched(copies)


@contextmanager
def _opened(desk: Desk, one: PersonRequest) -> Iterator[tuple[list[PersonCopy], Known]]:
    with ExitStack() as stack:
        copies, known = [], Known()
        for name in one.sources:
            context = desk.at(name, one.id)
            subject = subject_of(context, one.id)
            copy = PersonCopy(desk.source(name), context.source, desk.datamap(name), subject)
            copies.append(stack.enter_context(copy))
            known.join(copy.known)
            known.join(known_from(said_of(context, one.id)))
        yield copies, known


def _not_searched(copies: list[PersonCopy]) -> NotSearched:
    return [(copy.source.source, label) for copy in copies for label in copy.not_searched]
