"""Checks of what leaves a doubt by being there at all: slots, replicas, temporary things."""

from __future__ import annotations

from typing import cast

from handover.model.case import OURS, RECEIPTS_SCHEMA
from handover.model.policy import Text
from handover.postgres.residue.verdicts import Check, Look, Verdict, names_text, none_there
from handover.postgres.session import fetch

_SLOTS = "SELECT slot_name FROM pg_replication_slots WHERE slot_type = 'logical' ORDER BY 1"
_PUBLICATIONS = "SELECT pubname FROM pg_publication ORDER BY 1"
_SUBSCRIPTIONS = """
SELECT subname FROM pg_subscription
WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY 1
"""
_FOREIGN = """
SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'f' ORDER BY 1
"""
_PREPARED = "SELECT transaction::text FROM pg_prepared_xacts WHERE database = current_database() ORDER BY 1"
_TEMPORARY = """
SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relkind IN ('r', 'm', 'p')
  AND relnamespace <> pg_my_temp_schema()
"""
_TEMPORARY_FILES = """
SELECT count(*) FROM pg_tablespace t, LATERAL pg_ls_tmpdir(t.oid) WHERE t.spcname <> 'pg_global'
"""
_SCRATCH = """
SELECT 'database ' || datname FROM pg_database WHERE datname = ANY(%s)
UNION ALL
SELECT 'relation ' || n.nspname || '.' || c.relname FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'm', 'p')
  AND NOT (n.nspname = %s AND c.relname IN ('receipt', 'outcome'))
ORDER BY 1
"""
_STANDBYS = """
SELECT (SELECT count(*) FROM pg_stat_replication),
       (SELECT count(*) FROM pg_replication_slots WHERE slot_type = 'physical')
"""
_ARCHIVES = "SELECT current_setting('archive_mode'), archived_count FROM pg_stat_archiver"


def _slots(look: Look) -> Verdict:
    found = [str(name) for (name,) in fetch(look.connection, _SLOTS)]
    reason = Text(
        zh=f"逻辑复制槽可能保留或已送出行的变更：{names_text(found) or '–'}",
        en=f"logical slots keep, or have sent on, changes of rows: {names_text(found) or '–'}",
    )
    return none_there(len(found), reason, "slots")


def _publications(look: Look) -> Verdict:
    published = [str(name) for (name,) in fetch(look.connection, _PUBLICATIONS)]
    subscribed = [str(name) for (name,) in fetch(look.connection, _SUBSCRIPTIONS)]
    found = [*published, *subscribed]
    reason = Text(
        zh=f"发布的订阅方可能持有副本，订阅可能再次送来：{names_text(found) or '–'}",
        en=f"subscribers may hold copies, and subscriptions may bring rows again: {names_text(found) or '–'}",
    )
    verdict = none_there(len(found), reason, "publications")
    counts = {"publications": len(published), "subscriptions": len(subscribed)}
    return Verdict(verdict.outcome, verdict.reasons, counts)


def _foreign(look: Look) -> Verdict:
    found = [str(name) for (name,) in fetch(look.connection, _FOREIGN)]
    reason = Text(
        zh=f"外部表指向其他存储，须分别申报和清理：{names_text(found) or '–'}",
        en=f"foreign tables lead to other stores, each to be declared: {names_text(found) or '–'}",
    )
    return none_there(len(found), reason, "foreign tables")


def _prepared(look: Look) -> Verdict:
    found = [str(name) for (name,) in fetch(look.connection, _PREPARED)]
    reason = Text(
        zh=f"已准备而未结束的事务可能恢复或保留行：{names_text(found) or '–'}",
        en=f"transactions that are prepared and not ended may keep or write rows: {names_text(found) or '–'}",
    )
    return none_there(len(found), reason, "transactions")


def _temporary_tables(look: Look) -> Verdict:
    count = cast(int, fetch(look.connection, _TEMPORARY)[0][0])
    reason = Text(
        zh=f"{count}张临时表属于其他会话，只有该会话可读",
        en=f"{count} temporary tables belong to other sessions, which alone can read them",
    )
    return none_there(count, reason, "tables")


def _temporary_files(look: Look) -> Verdict:
    count = cast(int, fetch(look.connection, _TEMPORARY_FILES)[0][0])
    reason = Text(zh=f"{count}个临时文件仍存在", en=f"{count} temporary files are there")
    return none_there(count, reason, "files")


def _scratch(look: Look) -> Verdict:
    values = (list(look.scratch), list(OURS), RECEIPTS_SCHEMA)
    found = [str(name) for (name,) in fetch(look.connection, _SCRATCH, *values)]
    counts = {"databases and tables": len(found)}
    if found:
        names = names_text(found)
        return Verdict("not cleared", (Text(zh=f"仍存在：{names}", en=f"still there: {names}"),), counts)
    return Verdict("not present", counts=counts)


def _replicas(look: Look) -> Verdict:
    attached, slots = (cast(int, count) for count in fetch(look.connection, _STANDBYS)[0])
    reason = Text(
        zh=f"{attached}个复制连接、{slots}个物理复制槽：备库须自行清理WAL及快照",
        en=f"{attached} replication connections, {slots} physical slots: replicas replay the cleaning, but "
        "keep their own WAL and snapshots",
    )
    verdict = none_there(attached + slots, reason, "replicas")
    return Verdict(verdict.outcome, verdict.reasons, {"attached": attached, "physical slots": slots})


def _archives(look: Look) -> Verdict:
    mode, archived = fetch(look.connection, _ARCHIVES)[0]
    segments = cast(int, archived)
    reason = Text(
        zh=f"归档模式{mode}，已归档{segments}个WAL段；归档不在本连接范围内",
        en=f"archive_mode is {mode}, {segments} segments were archived, out of this connection's reach",
    )
    verdict = none_there(int(mode != "off") + segments, reason, "archives")
    return Verdict(verdict.outcome, verdict.reasons, {"archived segments": segments})


def _out_of_reach(reason: Text) -> Verdict:
    return Verdict("cannot be verified", (reason,))


def _backups(_look: Look) -> Verdict:
    return _out_of_reach(
        Text(
            zh="服务器不知道谁复制过它：备份、存储快照须另行申报和证明",
            en="a server does not know who copied it: backups and snapshots of its storage are to be "
            "declared and attested",
        )
    )


def _server_log(_look: Look) -> Verdict:
    return _out_of_reach(
        Text(
            zh="日志文件不在本连接范围内；出错语句可能含有值",
            en="log files are out of this connection's reach; statements that failed may be quoted there",
        )
    )


def _freed_blocks(_look: Look) -> Verdict:
    return _out_of_reach(
        Text(
            zh="被删除文件的磁盘块由文件系统和介质决定何时覆盖（逻辑删除，非介质清除）",
            en="when blocks of removed files are written over is up to file system and medium: this is "
            "logical deletion, no sanitising of media",
        )
    )


def _listed(zh: str, en: str) -> Text:
    return Text(zh=f"查询系统目录：{zh}", en=f"by the catalog: {en}")


PRESENCE_CHECKS = (
    Check("logical-slots", _listed("pg_replication_slots", "pg_replication_slots"), _slots),
    Check(
        "publications",
        _listed("pg_publication、pg_subscription", "pg_publication, pg_subscription"),
        _publications,
    ),
    Check("foreign-tables", _listed("外部表", "foreign tables of the database"), _foreign),
    Check("prepared-transactions", _listed("pg_prepared_xacts", "pg_prepared_xacts"), _prepared),
    Check(
        "temporary-tables",
        _listed("其他会话的临时表", "temporary tables of other sessions"),
        _temporary_tables,
    ),
    Check(
        "temporary-files",
        Text(zh="列出各表空间的临时文件", en="temporary files of each tablespace are listed"),
        _temporary_files,
        Text(zh="缺少权限：pg_monitor角色", en="missing right: the role pg_monitor"),
    ),
    Check(
        "scratch",
        _listed(
            "本系统的临时库和模式（回执与结果表只含计数和摘要，不计）",
            "databases and schemas of this system, but for the "
            "tables of receipts and outcomes, which hold counts and digests only",
        ),
        _scratch,
    ),
    Check(
        "replicas",
        _listed(
            "pg_stat_replication及物理复制槽；仅反映此刻，未连接且无槽的备库看不到",
            "pg_stat_replication and physical slots, "
            "at this moment: a replica that is not attached and has no slot is not seen",
        ),
        _replicas,
    ),
    Check(
        "archives", _listed("archive_mode及pg_stat_archiver", "archive_mode and pg_stat_archiver"), _archives
    ),
    Check("backups", Text(zh="无法经连接检查", en="not to be seen over a connection"), _backups),
    Check("server-log", Text(zh="无法经连接检查", en="not to be seen over a connection"), _server_log),
    Check("freed-blocks", Text(zh="无法经连接检查", en="not to be seen over a connection"), _freed_blocks),
)
