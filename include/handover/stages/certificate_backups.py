"""The backups of other runs that hold what a run let go, for what may be said of its end.

A backup of the same database holds the rows if it was read before the last of them went. It lives until the
ledger says that it ended or was aborted, whatever became of its key.
"""

from __future__ import annotations

from dataclasses import dataclass

from handover.stages.clean_residue import last_disposal
from handover.stages.context import Context
from handover.stages.erasures import ABORTED, ENDED, EXPORTED, PastRun, same_database
from handover.vault.keyring import KeyInfo
from handover.vault.roots import Purpose


@dataclass(frozen=True)
class OtherBackup:
    """A backup of the same database that was there, with the rows, when the last of them went."""

    past: PastRun
    key: KeyInfo

    @property
    def lives(self) -> bool:
        """Say whether nobody has ended it."""
        return is_alive(self.past)


def is_alive(one: PastRun) -> bool:
    """Say whether a run's backup, if it has one, was neither ended nor aborted."""
    return not {ENDED, ABORTED} & one.entries.keys()


def other_backups(context: Context) -> list[OtherBackup]:
    """Return the backups of other runs that held the rows when these had gone."""
    gone = last_disposal(context)
    if not gone:
        return []
    at = next(entry.at for entry in context.entries() if entry.seq == gone)
    keys = {one.case: one for one in context.keyring.list() if one.purpose is Purpose.BACKUP}
    return [
        OtherBackup(one, keys[one.name])
        for one in same_database(context)
        if one.name in keys and one.name != context.backup_name and _holds(one, at)
    ]


def _holds(one: PastRun, gone_at: str) -> bool:
    # One that is not sealed has not said when it was read: surely after its run was opened.
    read_at = one.read_at or one.entries["run-opened"][0].at
    end = one.last(ENDED) or one.last(ABORTED)
    return EXPORTED in one.entries and read_at < gone_at and (end is None or end.at > gone_at)
