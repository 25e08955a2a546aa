"""Writes a commented case file for a person to complete."""

from __future__ import annotations

import json
from contextlib import closing

from handover.commands.shared import Arguments, resolver
from handover.errors import CaseInvalid
from handover.model.case import OURS, parse_case
from handover.settings import Settings

TEMPLATE = """\
# Case {case}. Nothing secret belongs here: connections are named by their Airflow ids.
case: {case}
title: {title}
kind: transfer
# What legally happens; it decides the legal gates. One of: equity_transfer, asset_transfer,
# loan_portfolio_transfer, merger, division, dissolution, bankruptcy, deregistration, vie_termination,
# ledger_handover
transaction: ledger_handover
parties:
  giver: {{name: {giver}}}
  recipient: {{name: {recipient}}}
source:
  connection: {source}
  # Every schema that is handed over, whole unless a scope says which rows (see demo-transfer.yaml).
  schemas: {schemas}
  # All large objects of the database; false leaves them out.
  large_objects: true
target:
  # Must be empty where we write.
  connection: {target}
restore_test:
  # A server where a scratch database may be created and dropped; its role needs CREATEDB.
  connection: {target}
# Tasks side by side in each stage: about as many as the smaller server has cores.
lanes: 2
# How long the backup may hold its snapshot (autovacuum cannot clean up behind it meanwhile).
snapshot_hours: 12
# Ids of findings of `handover case check` that somebody has read and accepts.
acknowledge: []
# Suites under include/expectations that the rows are held against, beside those made from the schema.
expectations: []
# Counts, balances and relations to reconcile beside the sums of every numeric column; whole-database.yaml
# shows each kind.
reconciliation: {{}}
# Accounts of Airflow that must approve the plan before anything is read; without it nobody is asked.
# approvals:
#   execute: {{approvers: [approver, supervisor], count: 2, expires_hours: 72}}
#   accept: {{approvers: [receiver]}}
# Policy packs whose gates are asked, a scope, classes of rows, consents, the matter that the gates look at:
# demo-transfer.yaml shows and explains each. Without a policy no gate is asked, and the ledger says so.
# policy: [cn-pipl@2026.11]
"""
_SCHEMAS = """
SELECT nspname FROM pg_namespace n
WHERE nspname NOT LIKE 'pg\\_%%' AND nspname <> 'information_schema' AND nspname <> ALL(%s)
  AND EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = n.oid)
ORDER BY nspname COLLATE "C"
"""


def new_case(options: Arguments) -> int:
    """Write ``include/cases/ID.yaml``; an existing file is never changed."""
    settings = Settings.load()
    path = settings.cases / f"{options.case}.yaml"
    text = TEMPLATE.format(
        case=options.case,
        title=_quoted(f"Transfer {options.case}"),
        giver=_quoted("the giving company"),
        recipient=_quoted("the receiving company"),
        source=_quoted(options.source),
        target=_quoted(options.target),
        schemas=json.dumps(options.schema or _schemas(settings, options.source), ensure_ascii=False),
    )
    parse_case(text, path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CaseInvalid(f"{path} is there already", hint="choose another id, or edit that file") from None
    print(f"{path}: complete title and parties, then `handover case check {options.case}`")
    return 0


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _schemas(settings: Settings, connection_id: str) -> list[str]:
    """Return all schemas of the source that hold anything."""
    from handover.postgres.session import connect, database_errors, fetch

    try:
        url = resolver(settings)(connection_id)
    except KeyError:
        raise CaseInvalid(
            f"--source: connection {connection_id!r} is not known",
            hint=f"`handover airflow connections add {connection_id} --conn-uri postgresql://…`",
        ) from None
    with database_errors("listing schemas"), closing(connect(url, read_only=True)) as source:
        found = [str(name) for (name,) in fetch(source, _SCHEMAS, list(OURS))]
    if not found:
        raise CaseInvalid("the source has no schema that holds anything", hint="check the connection")
    return found
