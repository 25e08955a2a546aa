"""Refusing a case for what its file says, with file, line, field and remedy."""

from __future__ import annotations

from collections.abc import Iterable

from handover.errors import CaseInvalid
from handover.law.references import Place
from handover.model.scope import ScopeProblem, scope_invalid
from handover.stages.context import Context


def refused(context: Context, problems: Iterable[ScopeProblem]) -> CaseInvalid:
    """Return one error that names file, line, field and remedy of every problem."""
    if context.case.is_daily:  # made from a source, whose file has other fields
        lines = [f"{one.said}; {one.remedy}" for one in problems]
        return CaseInvalid(
            f"source {context.case.case} does not fit its database:\n  " + "\n  ".join(lines),
            hint=f"correct {context.case.case}.yaml in {context.settings.sources}",
        )
    path = context.settings.cases / f"{context.case.case}.yaml"
    return scope_invalid(problems, path.read_text(encoding="utf-8"), path, under=())


def in_matter(wrong: Iterable[tuple[Place, str]]) -> list[ScopeProblem]:
    """Return complaints about the matter, each with its remedy after a semicolon, as problems of the case."""
    return [ScopeProblem(("matter", *field), *said.rsplit("; ", 1)) for field, said in wrong]
