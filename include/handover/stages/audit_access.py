"""Checks of an audit: rights in the databases of registered sources against those that are declared (E02)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing

from handover.errors import HandoverError
from handover.model.audit import Finding
from handover.model.registered import Grant, RegisteredSource
from handover.postgres.grants import Access, access
from handover.postgres.session import connect
from handover.stages.audit_scope import Audit

# So many tables are named with a right; the rest are counted.
SHOWN = 3


def grants(audit: Audit) -> Iterator[Finding]:
    """Compare the rights in each source's database with those that its file declares."""
    yield from audit.unreadable_sources()
    for source in audit.sources():
        if source.grants is None:
            yield audit.finding(
                "grants-undeclared",
                "notice",
                source.source,
                "未声明数据库权限，无法核对。",
                "does not declare its grants, so that nobody can compare them.",
                source.owner,
            )
            continue
        try:
            with closing(connect(audit.resolve(source.database.connection), read_only=True)) as connection:
                found = access(connection, source.database.schemas)
        except KeyError:
            said = f"connection {source.database.connection} is not known"
            yield _unseen(audit, source, said)
        except HandoverError as problem:
            yield _unseen(audit, source, problem.message)
        else:
            yield from _differences(audit, source, source.grants, found)


def _unseen(audit: Audit, source: RegisteredSource, said: str) -> Finding:
    return audit.finding(
        "grants-unseen",
        "error",
        source.source,
        f"无法读取数据库权限：{said}",
        f"its grants cannot be read: {said}",
        source.owner,
    )


def _differences(
    audit: Audit, source: RegisteredSource, declared: Sequence[Grant], found: Access
) -> Iterator[Finding]:
    wanted = {(one.role, one.schema_name, right) for one in declared for right in one.rights}
    there: dict[tuple[str, str, str], list[str]] = {}
    for held in found.held:
        there.setdefault((held.role, held.schema, held.right), []).append(held.table)
    for (role, schema, right), tables in sorted(there.items()):
        if (role, schema, right) not in wanted and role not in found.owners:
            named = ", ".join(tables[:SHOWN]) + (f" (+{len(tables) - SHOWN})" if len(tables) > SHOWN else "")
            yield audit.finding(
                "grant-unexpected",
                "error",
                f"{source.source}: {role} {right} {schema}",
                f"未声明的权限：{role} 对 {named} 有 {right}。",
                f"{role} has {right} on {named}, which nobody declared.",
                source.owner,
            )
    for role, schema, right in sorted(wanted):
        has = set(there.get((role, schema, right), ()))
        lacking = [table for of, table in found.tables if of == schema and table not in has]
        if lacking and role not in found.owners:
            yield audit.finding(
                "grant-missing",
                "warning",
                f"{source.source}: {role} {right} {schema}",
                f"声明的权限不存在：{role} 在 {len(lacking)} 张表上没有 {right}。",
                f"{role} lacks {right} on {len(lacking)} tables, which is declared.",
                source.owner,
            )
    yield from _roundabout(audit, source, declared, found)


def _roundabout(
    audit: Audit, source: RegisteredSource, declared: Sequence[Grant], found: Access
) -> Iterator[Finding]:
    """Rights that no grant shows: by membership in a role that has some, and of those who need none."""
    named = {one.role for one in declared}
    powerful = {held.role for held in found.held} | found.owners
    for account, role in found.members:
        if role in powerful and account not in named and account not in found.owners:
            yield audit.finding(
                "grant-by-membership",
                "error",
                f"{source.source}: {account} in {role}",
                f"账号 {account} 因属于角色 {role} 而有权限，未声明。",
                f"{account} has the rights of {role}, whose member it is; nobody declared it.",
                source.owner,
            )
    for account in found.superusers:
        if account not in named:
            yield audit.finding(
                "grant-superuser",
                "error",
                f"{source.source}: {account}",
                f"账号 {account} 是超级用户或可绕过行级策略，未声明。",
                f"{account} is a superuser or passes by row policies; nobody declared it.",
                source.owner,
            )
