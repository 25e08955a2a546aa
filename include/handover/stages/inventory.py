"""Inventory: look at both ends, refuse what cannot work, and write down what the source holds."""

from __future__ import annotations

from contextlib import closing

from handover.errors import ConfigurationMissing, ConnectionLost, PreflightFailed
from handover.model.catalog import Catalog, Finding, Server
from handover.postgres import preflight
from handover.postgres.catalog import read_catalog, read_server
from handover.postgres.declaring import check_reconciliation
from handover.postgres.freezing import check_freezing
from handover.postgres.loose import check_loose
from handover.postgres.receivers import check_receiver
from handover.postgres.schema import SchemaEntry, dump_schema, read_entries, schema_digest
from handover.postgres.scope import check_scope
from handover.postgres.session import Connection, connect, database_errors
from handover.postgres.surroundings import check_surroundings
from handover.postgres.types import Servers
from handover.stages.context import Context
from handover.stages.estimating import check_space
from handover.stages.expectations import check_expectations
from handover.stages.ledger_rules import check_ledger

_UNREACHABLE = "unreachable:"


def inventory(context: Context) -> Catalog:
    """Check the case against the real databases and record the catalog; raises PreflightFailed."""
    body = {"case": context.case.document(), "digest": context.case.sha256_of_json()}
    context.require_open()
    context.record("run-opened", body, key="opened")
    with context.step("inventory"):
        findings = check(context)
        blocking = [f for f in findings if not is_acknowledged(context, f)]
        if blocking:
            raise preflight_failed(blocking)
        with (
            database_errors("reading the source's catalog"),
            closing(connect(context.source, read_only=True)) as source,
        ):
            ends = servers(context)
            catalog = read_catalog(source, context.case.source.schemas, Servers.of(ends))
        context.record(
            "inventory",
            {
                "catalog": catalog.document(),
                "target": ends[1].document(),
                "schema_digest": current_schema_digest(context),
                "acknowledged": [finding.id for finding in findings],
            },
        )
    return catalog


def is_acknowledged(context: Context, finding: Finding) -> bool:
    """Say whether the case accepts this finding by its id, where that is possible at all."""
    return finding.acknowledgeable and finding.id in context.case.acknowledge


def is_unreachable(finding: Finding) -> bool:
    """Say whether a finding is that a connection cannot be opened, so that nothing else was looked at."""
    return finding.id.startswith(_UNREACHABLE)


def preflight_failed(findings: list[Finding]) -> PreflightFailed:
    """Return one error that names every finding with its remedy."""
    lines = [f"  {finding.id}: {finding.message}; {finding.remedy}" for finding in findings]
    return PreflightFailed(
        "the transfer cannot start:\n" + "\n".join(lines),
        hint="correct each of them; `handover case check` looks again",
        findings=[finding.id for finding in findings],
    )


def check(context: Context) -> list[Finding]:
    """Return everything in the way of this case, at all three connections."""
    opened: list[Connection] = []
    try:
        findings = _unreachable(context, opened)
        if not findings:
            with database_errors("looking at source and target"):
                findings = _look(context, *opened)
    finally:
        for connection in opened:
            connection.close()
    return findings


def _unreachable(context: Context, opened: list[Connection]) -> list[Finding]:
    """Open the connections of the case into ``opened``; return a finding for each that fails."""
    findings = []
    case = context.case
    ends = [("source.connection", case.source.connection, context.source)]
    if case.target:
        ends.append(("target.connection", case.target.connection, context.target))
    ends.append(("restore_test.connection", case.restore_test.connection, context.scratch))
    for field, name, url in ends:
        try:
            opened.append(connect(url, read_only=True))
        except (ConfigurationMissing, ConnectionLost) as error:
            findings.append(
                Finding(id=f"{_UNREACHABLE}{name}", message=f"{field}: {error.message}", remedy=error.hint)
            )
    return findings


def _look(context: Context, source: Connection, *others: Connection) -> list[Finding]:
    wanted = context.case.source
    schemas = list(wanted.schemas)
    catalog = read_catalog(source, schemas)
    *targets, scratch = others
    receivers = {**dict(zip(("target",), targets, strict=False)), "restore_test": scratch}
    ends = [read_server(one) for one in (source, (targets or [scratch])[0], scratch)]
    return [
        *preflight.check_source(source, schemas, wanted.large_objects),
        *check_scope(source, schemas),
        *check_loose(source, receivers, schemas),
        *(found for one in targets for found in check_surroundings(source, one, schemas)),
        *preflight.check_servers(ends[0], ends[1], ends[2], context.programs.major()),
        *(
            found
            for one in targets
            for found in preflight.check_target(
                one, schemas, catalog.extensions, wanted.large_objects, context.holder
            )
        ),
        *preflight.check_scratch(scratch, catalog.extensions),
        *(
            found
            for name, one in receivers.items()
            for found in check_receiver(source, one, schemas, wanted.large_objects, name)
        ),
        *check_space(context, source),
        *check_reconciliation(source, context.case.reconciliation, schemas),
        *check_expectations(context, source),
        *check_ledger(context),
        *(check_freezing(source, schemas) if context.case.cutover.freeze else ()),
    ]


def servers(context: Context) -> tuple[Server, Server, Server]:
    """Return source, target and what a scratch database made from template0 in UTF-8 would be.

    Without a target the scratch database stands for it.
    """
    with (
        database_errors("looking at the servers"),
        closing(connect(context.source)) as source,
        closing(connect(context.scratch)) as scratch,
    ):
        made = read_server(scratch, "template0").model_copy(update={"encoding": "UTF8"})
        if not context.target:
            return read_server(source), made, made
        with closing(connect(context.target)) as target:
            return read_server(source), read_server(target), made


def dump_definitions(context: Context, url: str, snapshot: str | None = None) -> bytes:
    """Return an archive of the definitions that the case moves, as they are in a database."""
    case = context.case
    alone = case.scope is not None and case.scope.along is not None  # what their rows need stays behind
    return dump_schema(
        context.programs, url, case.source.schemas, snapshot, case.acknowledge, foreign_keys=not alone
    )


def schema_entries(context: Context, archive: bytes) -> list[SchemaEntry]:
    """Return all objects of a schema archive."""
    return [e for s in ("pre-data", "post-data") for e in read_entries(archive, s)]


def current_schema_digest(context: Context) -> str:
    """Return the keyed digest of the source's definitions as they are now."""
    archive = dump_definitions(context, context.source)
    return context.digest(schema_digest(schema_entries(context, archive)))
