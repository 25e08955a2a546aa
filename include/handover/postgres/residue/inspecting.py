"""Inspecting: every place where bytes of erased rows may stay is looked at and reported."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import cast

import psycopg
from psycopg import sql

from handover.model.policy import Text
from handover.model.residue import PLACES, Cleaning, Residue
from handover.postgres.residue.cleaning import RIGHT_TO_SWITCH, STATEMENTS
from handover.postgres.residue.presence import PRESENCE_CHECKS
from handover.postgres.residue.relations import RELATION_CHECKS
from handover.postgres.residue.searching import Find, search_files
from handover.postgres.residue.verdicts import Check, Look, Verdict, names_text
from handover.postgres.residue.wal import older_segments, present, segments_with
from handover.postgres.session import Connection, database_errors, fetch, qualified

_LIBRARIES = "SELECT current_setting('shared_preload_libraries')"
_MODULE = "pg_stat_statements"
_RESET_SINCE = 140000
_MASKED = "<insufficient privilege>"
_RIGHT_TO_LIBRARIES = Text(
    zh="缺少权限：pg_read_all_settings（查看shared_preload_libraries）",
    en="missing right: the role pg_read_all_settings, to see shared_preload_libraries",
)
_RIGHT_TO_TEXTS = Text(
    zh="缺少权限：pg_read_all_stats，并可读pg_stat_statements及执行其重置函数",
    en="missing right: the role pg_read_all_stats, SELECT on pg_stat_statements and EXECUTE on its reset",
)


def _statement_texts(look: Look) -> Verdict:
    schemas = [str(schema) for (schema,) in fetch(look.connection, STATEMENTS)]
    if not schemas:
        return _no_extension(look)
    views = [qualified(schemas[0], name) for name in (_MODULE, f"{_MODULE}_info")]
    try:
        rows = fetch(look.connection, sql.SQL("SELECT query FROM {}").format(views[0]))
    except psycopg.errors.ObjectNotInPrerequisiteState:
        return Verdict("not present")
    texts = [str(text) for (text,) in rows if text is not None]
    found = sum(look.find(text.encode()) for text in texts)
    counts = {"texts": len(texts), "with an erased value": found}
    if found:
        reason = Text(zh=f"{found}条语句文本含已删除的值", en=f"{found} statement texts hold an erased value")
        return Verdict("not cleared", (reason,), counts)
    if "statement-texts" in look.cleaning.refused or _MASKED in texts:
        return Verdict("cannot be verified", (_RIGHT_TO_TEXTS,), counts)
    if look.connection.info.server_version >= _RESET_SINCE:
        query = sql.SQL("SELECT stats_reset >= {} FROM {}").format(look.cleaning.begun.at, views[1])
        if not fetch(look.connection, query)[0][0]:
            reason = Text(zh="清理后未重置", en="not reset since cleaning began")
            return Verdict("not cleared", (reason,), counts)
    return Verdict("cleared", counts=counts)


def _no_extension(look: Look) -> Verdict:
    """The module may be loaded, and be reached from another database only."""
    try:
        libraries = str(fetch(look.connection, _LIBRARIES)[0][0])
    except psycopg.errors.InsufficientPrivilege:
        return Verdict("cannot be verified", (_RIGHT_TO_LIBRARIES,))
    if _MODULE not in libraries:
        return Verdict("not present")
    reason = Text(
        zh="服务器已加载该模块，但本数据库未建扩展，无法重置",
        en="the server loads it, but this database does not have the extension by which it is reset",
    )
    return Verdict("cannot be verified", (reason,))


def _wal(look: Look) -> Verdict:
    done = look.cleaning.wal
    if done is None:
        return Verdict("cannot be verified", (RIGHT_TO_SWITCH,))
    older = older_segments(look.connection, done)
    counts = {"segments written over": done.switches, "older segments": older}
    if older:
        reason = Text(
            zh=f"{older}个旧段仍被保留（复制槽、归档失败或wal_keep_size）",
            en=f"{older} older segments are kept: by a slot, an archiver that fails, or wal_keep_size",
        )
        return Verdict("not cleared", (reason,), counts)
    if present(look.connection) <= done.last:
        reason = Text(zh="未覆盖全部段文件", en="not all segments were written over")
        return Verdict("not cleared", (reason,), counts)
    read, found = segments_with(look.connection, look.find)
    counts |= {"segments read": read, "with an erased value": found}
    if found:
        reason = Text(zh=f"{found}个段文件含已删除的值", en=f"{found} segments hold an erased value")
        return Verdict("not cleared", (reason,), counts)
    return Verdict("cleared", counts=counts)


CHECKS = (
    *RELATION_CHECKS,
    Check(
        "statement-texts",
        Text(zh="重置后查找剩余语句文本", en="reset, then the texts there are searched for erased values"),
        _statement_texts,
        _RIGHT_TO_TEXTS,
    ),
    Check(
        "wal",
        Text(
            zh="切换并覆盖全部段文件（不改服务器设置），再读取全部段按字节查找已删除值；压缩的整页映像看不到",
            en="all segments written over by switching, no setting changed; then all of them read and "
            "searched by bytes for erased values; compressed page images are not seen",
        ),
        _wal,
        Text(
            zh="缺少权限：执行pg_read_binary_file（超级用户或经授权）",
            en="missing right: EXECUTE on pg_read_binary_file (superuser, or granted)",
        ),
    ),
    *PRESENCE_CHECKS,
)


def inspect(
    connection: Connection, cleaning: Cleaning, find: Find, scratch: Sequence[str] = ()
) -> tuple[Residue, ...]:
    """Return what every place that a connection reaches, or does not reach, holds of erased rows.

    ``find`` says whether some bytes hold an erased value. ``scratch``: databases of ours that must be gone.
    """
    look = Look(connection, cleaning, find, scratch)
    found = {check.place: _looked(check, look) for check in CHECKS}
    return tuple(found[place] for place in PLACES if place in found)


def _looked(check: Check, look: Look) -> Residue:
    with database_errors(f"looking for residue: {check.place}"):
        try:
            verdict = check.look(look)
        except psycopg.errors.InsufficientPrivilege:
            verdict = Verdict("cannot be verified", (check.right,))
    return Residue(
        place=check.place,
        outcome=verdict.outcome,
        how=check.how,
        reasons=verdict.reasons,
        counts=verdict.counts,
    )


def inspect_files(connection: Connection, folder: Path, find: Find) -> Residue:
    """Search the data directory of a cluster on this machine, its WAL included."""
    with database_errors("writing a checkpoint"), suppress(psycopg.errors.InsufficientPrivilege):
        connection.execute("CHECKPOINT")
    found = search_files(folder, find)
    counts = cast(dict[str, int], {"files": found.files, "bytes": found.bytes, "hits": len(found.hits)})
    counts["unreadable"] = len(found.unreadable)
    reasons: tuple[Text, ...] = ()
    if found.hits:
        names = names_text(found.hits)
        reasons = (Text(zh=f"含已删除的值：{names}", en=f"files that hold an erased value: {names}"),)
    elif found.unreadable:
        names = names_text(found.unreadable)
        reasons = (Text(zh=f"无法读取：{names}", en=f"files that could not be read: {names}"),)
    elif not found.files:
        reasons = (Text(zh="目录中没有文件", en="there is no file in the folder"),)
    return Residue(
        place="data-directory",
        outcome="not cleared" if found.hits else "cannot be verified" if reasons else "cleared",
        how=Text(
            zh="按字节搜索数据目录的全部文件（含WAL、表空间）；压缩值（TOAST）和以其他形式存储的值（如数值类型）无法看到",
            en="all files of the data directory, WAL and tablespaces included, searched by bytes; what is "
            "compressed (TOAST) or stored in another form (numbers as numbers) is not seen",
        ),
        reasons=reasons,
        counts=counts,
    )
