"""What software can find out for the receiver's four tests of accounting archives: it answers none."""

from __future__ import annotations

from contextlib import closing

from psycopg import sql

from handover.errors import DataRefused
from handover.model.backup import BackupIndex
from handover.model.handover_list import TechnicalCheck
from handover.model.ledger_list import LedgerHandover
from handover.model.plan import TablePlan
from handover.model.policy import Text
from handover.postgres.session import Connection, connect, database_errors, fetch, qualified
from handover.stages.context import Context

_LINE = """
SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
       inet_client_addr() IS NULL OR inet_client_addr() = inet_server_addr(),
       current_setting('data_checksums') = 'on'
"""
_PUBLIC = """
SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
  AND has_schema_privilege('public', n.oid, 'USAGE') AND has_table_privilege('public', c.oid, 'SELECT')
"""


def technical_checks(
    context: Context, index: BackupIndex, ledger: LedgerHandover, volumes: int
) -> tuple[TechnicalCheck, ...]:
    """Look at the target and say what was found; the figures have been compared before."""
    wanted = {table.label for archive in ledger.archives for table in archive.tables}
    tables = [table for table in index.plan.tables if table.name and table.label in wanted]
    groups = [group for group in index.plan.groups() if group.table in {table.id for table in tables}]
    rows, _ = index.rows(groups)
    chunks = sum(len(index.of(group)) for group in groups)
    with closing(connect(context.target, read_only=True)) as target:
        return (
            _accurate(volumes, chunks),
            _complete(len(tables), rows),
            _usable(target, tables),
            _safe(target, tables),
        )


def _accurate(volumes: int, chunks: int) -> TechnicalCheck:
    return TechnicalCheck(
        test="accurate",
        passed=True,
        found=(
            Text(
                zh=f"{volumes} 卷的行数与合计，源库与目标库逐卷相符；",
                en=f"rows and sums of {volumes} volumes are equal in source and target;",
            ),
            Text(
                zh=f"目标库回读 {chunks} 个数据块，摘要全部相符。",
                en=f"{chunks} chunks read back from the target have the digests of the backup.",
            ),
        ),
    )


def _complete(tables: int, rows: int) -> TechnicalCheck:
    return TechnicalCheck(
        test="complete",
        passed=True,
        found=(
            Text(
                zh=f"计划内 {tables} 张表共 {rows:,} 行，全部到达且无多余。",
                en=f"all {rows:,} rows of the {tables} tables planned arrived, and no others.",
            ),
        ),
    )


def _usable(target: Connection, tables: list[TablePlan]) -> TechnicalCheck:
    """Read every column of every table as its reader would."""
    unreadable = []
    for table in tables:
        columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
        query = sql.SQL("SELECT {} FROM {} LIMIT 1")
        try:
            with database_errors(f"reading {table.label}"):
                target.execute(query.format(columns, qualified(table.schema_name, table.name))).fetchall()
        except DataRefused:
            unreadable.append(table.label)
    names = "、".join(unreadable)
    columns_read = sum(len(table.columns) for table in tables)
    found = Text(
        zh=f"{len(tables)} 张表的 {columns_read} 列均可按名查询。",
        en=f"all {columns_read} columns of {len(tables)} tables can be queried by name.",
    )
    if unreadable:
        found = Text(zh=f"不能读取：{names}。", en=f"cannot be read: {', '.join(unreadable)}.")
    return TechnicalCheck(test="usable", passed=not unreadable, found=(found,))


def _safe(target: Connection, tables: list[TablePlan]) -> TechnicalCheck:
    """Say how the data is protected on its way and where it lies, as far as a session can see.

    The target was filled from a backup that a restore has proven; migrating refuses any other.
    """
    with database_errors("looking at the target's protection"):
        tls, same_machine, checksums = fetch(target, _LINE)[0]
        schemas, names = [t.schema_name for t in tables], [t.name for t in tables]
        public = int(str(fetch(target, _PUBLIC, schemas, names)[0][0]))
    found = (
        Text(
            zh="备份已加密，并经恢复验证；",
            en="the backup is encrypted and was proven by a restore;",
        ),
        line_said(tls=bool(tls), same_machine=bool(same_machine)),
        Text(
            zh=f"目标库页校验{'已启用' if checksums else '未启用'}；任何账号均可读取的表：{public} 张。",
            en=f"page checksums are {'on' if checksums else 'off'}; tables open to every account: {public}.",
        ),
        Text(
            zh="机房、人员与病毒防护由接收方自行检验。",
            en="premises, people and protection from malware are for the receiver to test.",
        ),
    )
    return TechnicalCheck(test="safe", passed=bool(tls or same_machine) and not public, found=found)


def line_said(*, tls: bool, same_machine: bool) -> Text:
    """Return how data goes to the target."""
    if tls:
        return Text(zh="与目标库的连接使用 TLS；", en="the connection to the target uses TLS;")
    if same_machine:
        return Text(
            zh="目标库在本机，数据不经网络；", en="the target is on this machine: no network between;"
        )
    return Text(zh="与目标库的连接未加密；", en="the connection to the target is not encrypted;")
