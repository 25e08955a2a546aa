"""Freeze: where the case asks for it, nobody writes to the source's tables from before the snapshot on.

The freeze outlives the run: what was accepted must not change before it is disposed of. Aborting lifts it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from handover.errors import NotReady
from handover.postgres.freezing import freeze, passing_freeze, thaw, thawed
from handover.postgres.session import Connection, connect, database_errors
from handover.stages.approvals import require_approval
from handover.stages.context import Context
from handover.stages.hearings import require_passed

FROZEN = "source-frozen"


def freeze_source(context: Context) -> None:
    """Freeze the source if the case asks for it. Safe to repeat."""
    if not context.case.cutover.freeze:
        return
    with context.step("freeze"):
        require_approval(context, "execute")
        require_passed(context)
        with closing(connect(context.source)) as source:
            freeze(source, context.case.source.schemas, _holder(context))
        context.record(FROZEN, {"schemas": list(context.case.source.schemas)}, key=FROZEN)


def _holder(context: Context) -> str:
    return f"case {context.case.case}, run {context.run}"


def require_frozen(context: Context) -> None:
    """Raise NotReady when the case asks for a freeze and it does not stand; for what takes the snapshot."""
    if context.case.cutover.freeze and not context.entries(FROZEN):
        raise NotReady("the source is not frozen", hint="run or clear the task freeze")
    if lines := not_frozen(context):
        raise NotReady("\n  ".join(["the source is not frozen:", *lines]), hint="clear the task freeze")


def not_frozen(context: Context) -> list[str]:
    """Return a line for each table that should be frozen now and is not."""
    if not context.case.cutover.freeze:
        return []
    with (
        database_errors("looking whether the source is frozen"),
        closing(connect(context.source, read_only=True)) as source,
    ):
        found = thawed(source, context.case.source.schemas, _holder(context))
    return [f"{schema}.{name} is not frozen" for schema, name in found]


@contextmanager
def through_freeze(context: Context, source: Connection) -> Iterator[None]:
    """Let the open transaction alone write to the source, frozen or not."""
    if not context.case.cutover.freeze:
        yield
        return
    with passing_freeze(source, _holder(context)):
        yield


def lift_freeze(context: Context) -> list[str]:
    """Lift the freeze that this run asked for; returns what was removed. Safe to repeat."""
    if not context.case.cutover.freeze:
        return []
    with closing(connect(context.source)) as source:
        return ["source: freeze"] if thaw(source, _holder(context)) else []
