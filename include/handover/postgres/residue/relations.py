"""Checks of what lies in the database's own relations: tables, TOAST, indexes, views, statistics, objects."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import cast

from psycopg import sql

from handover.model.policy import Text
from handover.model.reconciliation import TableName
from handover.model.residue import Place, Rewritten, StorageFile
from handover.postgres.residue.cleaning import RIGHT_TO_REFRESH
from handover.postgres.residue.searching import holds
from handover.postgres.residue.storage import CATALOGS, files_of, tables_named
from handover.postgres.residue.verdicts import Check, Look, Verdict, names_text
from handover.postgres.session import Connection, fetch

_LARGE_OBJECTS = CATALOGS[2]
_NAMED = """
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN unnest(%(schemas)s::text[], %(names)s::text[]) AS w(schema, name)
  ON (n.nspname, c.relname) = (w.schema, w.name)
"""
_READABLE = f"""
SELECT w.schema || '.' || w.name {_NAMED}
WHERE NOT has_table_privilege(c.oid, 'SELECT') OR row_security_active(c.oid) ORDER BY 1
"""
# Extended statistics are shown to owners only.
_OWNED = f"""
SELECT w.schema || '.' || w.name {_NAMED}
WHERE EXISTS (SELECT FROM pg_statistic_ext e WHERE e.stxrelid = c.oid)
  AND (NOT pg_has_role(c.relowner, 'USAGE') OR row_security_active(c.oid)) ORDER BY 1
"""  # noqa: S608 (a constant)
_OWN = f"""
(s.schemaname, s.tablename) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
OR (s.schemaname, s.tablename) IN (
  SELECT n.nspname, x.relname {_NAMED} JOIN pg_index i ON i.indrelid = c.oid
  JOIN pg_class x ON x.oid = i.indexrelid)
"""  # noqa: S608 (a constant)
# One value a line, as it is, not as an array writes it; the type of these columns is that of any array.
_LINES = "array_to_string(s.{}::text::text[], E'\\n')"
_COLUMN_VALUES = ("most_common_vals", "histogram_bounds", "most_common_elems")
_RANGE_VALUES, _RANGES_SINCE = ("range_bounds_histogram",), 170000
_VIEW_QUERY = f"SELECT concat_ws(E'\\n', {{}}) FROM {{}} s WHERE {_OWN}"  # noqa: S608 (a constant)
_EXPRESSIONS_SINCE = 140000
_HEX = re.compile(r"\\x(?:[0-9a-f]{2})+")
_OBJECTS = "SELECT oid::bigint FROM pg_largeobject_metadata ORDER BY oid"
_PIECE = 4 << 20
_CLOSED = f"""
SELECT w.schema || '.' || w.name {_NAMED}
WHERE NOT (pg_has_role(c.relowner, 'USAGE') OR {{}} OR EXISTS (
  SELECT FROM pg_database d WHERE d.datname = current_database() AND pg_has_role(d.datdba, 'USAGE')))
ORDER BY 1
"""  # noqa: S608 (a constant)
_MAINTAIN, _MAINTAIN_SINCE = "has_table_privilege(c.oid, 'MAINTAIN')", 170000


def _unwritten(look: Look, tables: Iterable[TableName], part: str) -> tuple[list[str], int]:
    """Return names of files that are still those from before, and how many there are in all."""
    wanted = set(tables)
    before = {(f.table, f.part, f.name, f.file) for f in look.cleaning.begun.files}
    now = [file for file in files_of(look.connection, wanted) if file.part == part]
    kept = [_label(f) for f in now if (f.table, f.part, f.name, f.file) in before]
    return kept, len(now)


def _label(file: StorageFile) -> str:
    return file.table.label if file.part != "index" else f"{file.table.label} ({file.name})"


def _turns(look: Look, tables: Iterable[TableName]) -> list[Rewritten]:
    wanted = set(tables)
    return [one for one in look.cleaning.rewritten if one.table in wanted]


def _rewritten(look: Look, tables: Iterable[TableName], part: str) -> Verdict:
    """Judge files of tables: each is another one than before, and nobody saw the erased rows meanwhile."""
    wanted = list(tables)
    kept, files = _unwritten(look, wanted, part)
    turns = _turns(look, wanted)
    held = {one.table.label: one.held_by for one in turns if one.held_by}
    dead = sum(one.dead or 0 for one in turns)
    unknown = [one.table.label for one in turns if one.dead is None and not one.held_by]
    counts = {"files": files, "not rewritten": len(kept), "dead rows": dead, "tables held": len(held)}
    if kept and not held and (closed := _closed(look.connection, wanted)):
        return Verdict("cannot be verified", (_no_right(closed),), counts)
    if reasons := tuple(_reasons(kept, held)):
        return Verdict("not cleared", reasons, counts)
    if dead or unknown:
        return Verdict("cannot be verified", (_seen_after(dead, unknown),), counts)
    return Verdict("cleared" if files else "not present", counts=counts)


def _reasons(kept: list[str], held: dict[str, tuple[str, ...]]) -> Iterator[Text]:
    if held:
        who = names_text(sorted({name for names in held.values() for name in names}))
        yield Text(
            zh=f"{len(held)}张表的已删除行仍可被看到，重写会保留它们：{who}",
            en=f"erased rows of {len(held)} tables can still be seen, rewriting would keep them: by {who}",
        )
    if kept:
        yield Text(zh=f"未重写：{names_text(kept)}", en=f"not rewritten: {names_text(kept)}")


def _closed(connection: Connection, tables: Iterable[TableName]) -> list[str]:
    """Return the tables that the role may not rewrite."""
    newer = connection.info.server_version >= _MAINTAIN_SINCE
    query = sql.SQL(_CLOSED).format(sql.SQL(_MAINTAIN if newer else "false"))
    return [str(name) for (name,) in connection.execute(query, tables_named(tables))]


def _no_right(tables: list[str]) -> Text:
    return Text(
        zh=f"缺少权限：重写须为表或数据库的所有者（17版起可用MAINTAIN）：{names_text(tables)}",
        en=f"missing right to rewrite (ownership of table or database, or MAINTAIN from version 17 on): "
        f"{names_text(tables)}",
    )


def _seen_after(dead: int, unknown: list[str]) -> Text:
    if unknown:
        return Text(
            zh=f"重写后未能逐页清点：{names_text(unknown)}",
            en=f"not counted page by page after rewriting: {names_text(unknown)}",
        )
    return Text(
        zh=f"重写后仍有{dead}个失效行版本：其间有人写入，请在无写入时重做",
        en=f"{dead} dead row versions were there after rewriting: somebody wrote meanwhile, repeat it when "
        "nobody does",
    )


def _heap(look: Look) -> Verdict:
    return _rewritten(look, look.cleaning.begun.tables, "heap")


def _toast(look: Look) -> Verdict:
    return _rewritten(look, look.cleaning.begun.tables, "toast")


def _indexes(look: Look) -> Verdict:
    return _rewritten(look, look.cleaning.begun.tables, "index")


def _views(look: Look) -> Verdict:
    """A refreshed view is a new file, made from the rows that are left."""
    views = look.cleaning.begun.views
    stale = sorted({name for part in ("heap", "toast", "index") for name in _unwritten(look, views, part)[0]})
    counts = {"views": len(views), "not refreshed": len(stale)}
    if stale:
        names = names_text(stale)
        reason = Text(zh=f"未刷新：{names}", en=f"not refreshed: {names}")
        if "materialized-views" in look.cleaning.refused:
            return Verdict("cannot be verified", (RIGHT_TO_REFRESH, reason), counts)
        return Verdict("not cleared", (reason,), counts)
    return Verdict("cleared" if views else "not present", counts=counts)


def _analysed(look: Look) -> list[TableName]:
    begun = look.cleaning.begun
    return [*begun.tables, *begun.above, *begun.views]


def _columns(look: Look) -> Verdict:
    ranges = _RANGE_VALUES if look.connection.info.server_version >= _RANGES_SINCE else ()
    values = _values(look, "pg_stats", (*_COLUMN_VALUES, *ranges))
    return _statistics(look, values, look.cleaning.statistics.left, CATALOGS[0], _READABLE)


def _extended(look: Look) -> Verdict:
    values = _values(look, "pg_stats_ext", ("most_common_vals",))
    if look.connection.info.server_version >= _EXPRESSIONS_SINCE:
        values += _values(look, "pg_stats_ext_exprs", _COLUMN_VALUES)
    return _statistics(look, values, look.cleaning.statistics.left_extended, CATALOGS[1], _OWNED)


def _values(look: Look, view: str, columns: Iterable[str]) -> list[bytes]:
    """Return the values that each entry holds; bytea also as the bytes that its text stands for."""
    lines = sql.SQL(", ").join(sql.SQL(_LINES.format(column)) for column in columns)
    query = sql.SQL(_VIEW_QUERY).format(lines, sql.Identifier(view))
    rows = look.connection.execute(query, tables_named(_analysed(look)))
    texts = [str(text) for (text,) in rows]
    return [text.encode() + b"".join(map(_bytes_of, text.splitlines())) for text in texts]


def _bytes_of(line: str) -> bytes:
    return b"\n" + bytes.fromhex(line[2:]) if _HEX.fullmatch(line) else b""


def _statistics(
    look: Look, values: list[bytes], left: tuple[TableName, ...], catalog: TableName, closed: str
) -> Verdict:
    """Judge entries by value, and the catalog that held the old ones by its file."""
    found = sum(look.find(value) for value in values)
    stored = _rewritten(look, [catalog], "heap")
    counts = {"entries": len(values), "entries with an erased value": found, **stored.counts}
    if found or left:
        return Verdict("not cleared", (_old_entries(found, left),), counts)
    passed = look.cleaning.statistics.not_analyzed
    rows = look.connection.execute(sql.SQL(closed), tables_named(_analysed(look)))
    unread = [str(name) for (name,) in rows]
    if unread or passed:
        names = names_text(sorted({*unread, *(one.label for one in passed)}))
        reason = Text(
            zh=f"缺少权限（SELECT且不受行级安全限制；ANALYZE和扩展统计须为所有者）：{names}",
            en=f"missing right (SELECT without row-level security; ownership for ANALYZE and for extended "
            f"statistics) on {names}",
        )
        return Verdict("cannot be verified", (reason,), counts)
    return Verdict(stored.outcome, stored.reasons, counts)


def _old_entries(found: int, left: tuple[TableName, ...]) -> Text:
    names = names_text([one.label for one in left]) or "–"
    return Text(
        zh=f"{found}条统计信息含已删除的值；旧统计信息须由超级用户（18版起所有者亦可）删除：{names}",
        en=f"{found} entries hold an erased value; entries that only a superuser (from version 18 on the "
        f"owner too) can take away are left of: {names}",
    )


def _large_objects(look: Look) -> Verdict:
    """Judge the space of removed ones by its file, and those that are left by their content."""
    stored = _rewritten(look, [_LARGE_OBJECTS], "heap")
    oids = [cast(int, oid) for (oid,) in fetch(look.connection, _OBJECTS)]
    if not oids and not fetch(look.connection, "SELECT pg_relation_size('pg_largeobject')")[0][0]:
        return Verdict("not present", counts={"large objects": 0})
    found = sum(holds(_content(look.connection, oid), look.find) for oid in oids)
    counts = {"large objects": len(oids), "with an erased value": found, **stored.counts}
    if found:
        reason = Text(zh=f"{found}个大对象含已删除的值", en=f"{found} large objects hold an erased value")
        return Verdict("not cleared", (reason,), counts)
    return Verdict(stored.outcome, stored.reasons, counts)


def _content(connection: Connection, oid: int) -> Iterator[bytes]:
    at = 0
    while piece := cast(bytes, fetch(connection, "SELECT lo_get(%s::oid, %s, %s)", oid, at, _PIECE)[0][0]):
        yield bytes(piece)
        at += len(piece)


_BY_FILE = Text(
    zh="比较VACUUM FULL前后的文件编号；重写时无会话、已准备事务或复制槽可看到已删除行；逐页清点失效行",
    en="file numbers compared before and after VACUUM FULL; no session, prepared transaction or slot could "
    "see erased rows when it ran; dead rows counted page by page",
)
_BY_ENTRY = Text(
    zh="清除后重新ANALYZE，逐条查找已删除的值（最常见值、直方图边界、常见元素），并重写系统表",
    en="entries taken away, gathered anew by ANALYZE and searched for erased values (most common values, "
    "histogram bounds, elements); their catalog rewritten",
)


def _by_file(place: Place) -> Text:
    if place != "toast":
        return _BY_FILE
    return Text(
        zh=f"{_BY_FILE.zh}。压缩值无法按字节搜索",
        en=f"{_BY_FILE.en}; compressed values cannot be searched for by their bytes",
    )


RELATION_CHECKS = (
    Check("heap", _by_file("heap"), _heap),
    Check("toast", _by_file("toast"), _toast),
    Check("indexes", _by_file("indexes"), _indexes),
    Check("statistics", _BY_ENTRY, _columns),
    Check("extended-statistics", _BY_ENTRY, _extended),
    Check(
        "materialized-views",
        Text(
            zh="REFRESH后比较文件编号；包括读取所涉表的视图及调用自定义函数的视图",
            en="file numbers compared before and after REFRESH, of views over the tables and of views that "
            "call functions",
        ),
        _views,
    ),
    Check(
        "large-objects",
        Text(
            zh="重写pg_largeobject并比较文件编号；逐个读取剩余大对象查找已删除的值",
            en="pg_largeobject rewritten and its file number compared; those left are read and searched",
        ),
        _large_objects,
        Text(
            zh="缺少权限：读取他人的大对象（SELECT）", en="missing right: SELECT on large objects of others"
        ),
    ),
)
