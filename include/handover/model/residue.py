"""Residue: the places where bytes of erased rows stay, what was found of each, and how it was looked at.

Nothing here holds a value of a row: names of relations, counts and reasons only.
"""

from __future__ import annotations

from typing import Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from handover.model.base import Frozen
from handover.model.catalog import Finding
from handover.model.estimate import size_text
from handover.model.policy import Text
from handover.model.reconciliation import TableName

Place = Literal[
    "heap",
    "toast",
    "indexes",
    "statistics",
    "extended-statistics",
    "materialized-views",
    "large-objects",
    "logical-slots",
    "publications",
    "foreign-tables",
    "statement-texts",
    "prepared-transactions",
    "temporary-tables",
    "temporary-files",
    "scratch",
    "wal",
    "replicas",
    "archives",
    "backups",
    "server-log",
    "freed-blocks",
    "data-directory",
]
PLACES: dict[Place, Text] = {
    "heap": Text(zh="数据表及其失效行", en="tables and their dead rows"),
    "toast": Text(zh="超长字段存储（TOAST）", en="storage of long values (TOAST)"),
    "indexes": Text(zh="索引", en="indexes"),
    "statistics": Text(zh="优化器列统计信息", en="planner statistics of columns"),
    "extended-statistics": Text(zh="优化器扩展统计信息", en="extended planner statistics"),
    "materialized-views": Text(zh="物化视图", en="materialised views"),
    "large-objects": Text(zh="大对象", en="large objects"),
    "logical-slots": Text(zh="逻辑复制槽", en="logical replication slots"),
    "publications": Text(zh="逻辑复制发布与订阅", en="publications and subscriptions"),
    "foreign-tables": Text(zh="外部表", en="foreign tables"),
    "statement-texts": Text(
        zh="SQL语句文本统计（pg_stat_statements）", en="statement texts (pg_stat_statements)"
    ),
    "prepared-transactions": Text(zh="已准备的两阶段事务", en="prepared transactions"),
    "temporary-tables": Text(zh="会话临时表", en="temporary tables of sessions"),
    "temporary-files": Text(zh="服务器临时文件", en="temporary files of the server"),
    "scratch": Text(zh="本系统的临时库与工作模式", en="this system's scratch databases and schemas"),
    "wal": Text(zh="预写日志（WAL）段文件", en="write-ahead log segments"),
    "replicas": Text(zh="备库", en="replicas"),
    "archives": Text(zh="WAL归档", en="archived write-ahead log"),
    "backups": Text(zh="其他备份与快照", en="other backups and snapshots"),
    "server-log": Text(zh="数据库服务器日志", en="the server's log"),
    "freed-blocks": Text(zh="文件系统已释放的磁盘块", en="blocks that the file system was given back"),
    "data-directory": Text(zh="数据目录全部文件", en="all files of the data directory"),
}
Outcome = Literal["cleared", "not present", "not cleared", "cannot be verified"]
OUTCOMES: dict[Outcome, Text] = {
    "cleared": Text(zh="已清除", en="cleared"),
    "not present": Text(zh="不存在", en="not present"),
    "not cleared": Text(zh="未清除", en="not cleared"),
    "cannot be verified": Text(zh="无法核实", en="cannot be verified"),
}


class Residue(Frozen):
    """What was found at one place, and how; ``reasons`` say why it is not clean, or not known to be."""

    place: Place
    outcome: Outcome
    how: Text
    reasons: tuple[Text, ...] = ()
    counts: dict[str, int] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _a_doubt_has_a_reason(self) -> Self:
        if self.outcome in ("not cleared", "cannot be verified") and not self.reasons:
            raise ValueError("say why the place is not clean or not known to be")
        return self

    @property
    def clean(self) -> bool:
        """Say whether nothing is left there, as far as the method can tell."""
        return self.outcome in ("cleared", "not present")


class Window(Frozen):
    """When tables may be locked for being rewritten."""

    begins: AwareDatetime
    ends: AwareDatetime

    @model_validator(mode="after")
    def _has_a_length(self) -> Self:
        if self.ends <= self.begins:
            raise ValueError("ends is not after begins")
        return self


class StorageFile(Frozen):
    """A file of a table: its heap, its TOAST table or an index, and the number by which the server names it.

    A rewritten one has another number.
    """

    table: TableName
    part: Literal["heap", "toast", "index"]
    name: str
    file: int


class Begun(Frozen):
    """The state from which cleaning starts, after the last erasing transaction: keep it, a resumed cleaning
    is measured against it too. ``transaction``: all that erased are older than it.
    """

    at: AwareDatetime
    transaction: int
    tables: tuple[TableName, ...]
    views: tuple[TableName, ...]
    above: tuple[TableName, ...]
    files: tuple[StorageFile, ...]


class Rewritten(Frozen):
    """One table after its turn. ``dead``: row versions that a look at every page counted, None when the role
    may not look; ``held_by``: who could still see erased rows, so that rewriting would have kept them.
    """

    table: TableName
    held_by: tuple[str, ...] = ()
    dead: int | None = None
    bytes: int = 0
    seconds: float = 0.0


class Statistics(Frozen):
    """What became of the statistics: tables whose old entries could not be taken away, by kind."""

    left: tuple[TableName, ...] = ()
    left_extended: tuple[TableName, ...] = ()
    not_analyzed: tuple[TableName, ...] = ()


class Wal(Frozen):
    """Which segments were written over: those from ``first`` to ``last``; nothing older may be there."""

    first: str
    last: str
    switches: int


class Cleaning(Frozen):
    """All that was done; what a role may not do is named in ``refused`` by the right that it lacks."""

    begun: Begun
    rewritten: tuple[Rewritten, ...]
    statistics: Statistics
    wal: Wal | None
    refused: dict[Place, Text] = Field(default_factory=dict)


class RewriteEstimate(Frozen):
    """What rewriting takes: bytes read, the disk needed beside what is used now, and seconds of lock."""

    tables: int
    bytes: int
    disk: int
    wal: int
    seconds: float
    longest_lock: float


class FileSearch(Frozen):
    """What a search of a folder's files found; names are relative to it.

    ``vanished``: files that were removed while they were searched.
    """

    files: int
    bytes: int
    hits: tuple[str, ...]
    unreadable: tuple[str, ...]
    vanished: int


def check_rewrite_space(needed: RewriteEstimate, free: int) -> list[Finding]:
    """Return a finding when the server's disk has less space than rewriting needs."""
    total = needed.disk + needed.wal
    if free >= total:
        return []
    return [
        Finding(
            id="rewrite-space",
            message=f"rewriting the erased tables needs about {size_text(total)} on the source's disk, "
            f"{size_text(free)} are free",
            remedy="make room on the source's disk, or move its WAL to another one",
        )
    ]
