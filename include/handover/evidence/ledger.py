"""The ledger: append-only, chained by hash per case, signed, in a database of its own.

What was read from here is as trustworthy as the writer's role; proof needs ``verify_chain``. An append
whose connection broke may have happened: with a ``key``, trying again finds it and adds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from handover.crashpoints import CrashPoint, passing
from handover.errors import LedgerRefused
from handover.evidence.canonical import canonical
from handover.evidence.connection import Connection, session
from handover.evidence.entry import GENESIS, Draft, Entry, link, verify_chain
from handover.evidence.ledger_schema import create
from handover.vault.signing import Signer

__all__ = ["Entry", "Ledger", "create", "verify_chain"]

_SELECT = """
SELECT case_id, seq, run, at, kind, key, body, prev_hash, hash, signature, key_id FROM public.entry
"""
_INSERT = """
INSERT INTO public.entry (case_id, seq, run, at, kind, key, body, prev_hash, hash, signature, key_id)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
"""
# The first key of the pair keeps ledger locks apart from advisory locks of others in this database.
_LOCK = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
_LOCK_CLASS = 0x1ED6E5


class Ledger:
    """The ledger at ``url``; without a signer it can only be read."""

    def __init__(self, url: str, signer: Signer | None) -> None:
        self._url = url
        self._signer = signer

    def append(
        self, case: str, run: str, kind: str, body: Mapping[str, object], *, key: str | None = None
    ) -> Entry:
        """Add an entry; with a ``key``, once: the same again is returned, another body is refused."""
        if self._signer is None:
            raise LedgerRefused(
                "this ledger was opened for reading only", hint="open it with the keyring's signer to append"
            )
        text = canonical(body, LedgerRefused, f"the body of a ledger entry {kind}").decode()
        draft = Draft(case, run, kind, key, text)
        _check_texts(draft)
        with session(self._url) as connection, connection.transaction():
            connection.execute(_LOCK, [_LOCK_CLASS, case])
            return _existing(connection, draft) or _append(connection, draft, self._signer)

    def entries(self, case: str, run: str | None = None, kinds: Sequence[str] = ()) -> list[Entry]:
        """A case's entries in order, of one run or of all, of some kinds or of all."""
        # Only what is asked for: a condition that depends on a parameter would keep the index out.
        asked: dict[str, object] = {"case_id = %s": case}
        if run is not None:
            asked["run = %s"] = run
        if kinds:
            asked["kind = ANY(%s)"] = list(kinds)
        query = f"{_SELECT} WHERE {' AND '.join(asked)} ORDER BY seq"
        with session(self._url) as connection:
            rows = connection.execute(query.encode(), list(asked.values())).fetchall()
        return [_entry(row) for row in rows]

    def cases(self) -> list[str]:
        """Every case that has an entry."""
        with session(self._url) as connection:
            rows = connection.execute("SELECT DISTINCT case_id FROM public.entry ORDER BY 1").fetchall()
        return [str(row[0]) for row in rows]

    def lines(self, case: str) -> Iterator[str]:
        """A case's whole chain as lines of ledger.jsonl, without their ends."""
        return (entry.line for entry in self.entries(case))


def _existing(connection: Connection, draft: Draft) -> Entry | None:
    if draft.key is None:
        return None
    query = _SELECT + " WHERE case_id = %s AND run = %s AND kind = %s AND key = %s"
    row = connection.execute(query, [draft.case, draft.run, draft.kind, draft.key]).fetchone()
    if row is None:
        return None
    entry = _entry(row)
    if entry.body_text != draft.body_text:
        raise LedgerRefused(
            f"case {draft.case}, run {draft.run}: entry {entry.seq} ({draft.kind}, key {draft.key}) "
            "stands already and says something else",
            hint="two attempts of one step came to different results; find out why before going on",
            seq=entry.seq,
        )
    return entry


def _append(connection: Connection, draft: Draft, signer: Signer) -> Entry:
    query = "SELECT seq, hash FROM public.entry WHERE case_id = %s ORDER BY seq DESC LIMIT 1"
    last = connection.execute(query, [draft.case]).fetchone() or (0, GENESIS)
    now = connection.execute("SELECT clock_timestamp()").fetchone()
    if now is None:
        raise LedgerRefused("the ledger's server did not tell the time", hint="see the server's log")
    entry = link(draft, last[0] + 1, last[1], _iso(now[0]), signer)
    connection.execute(_INSERT, list(vars(entry).values()))
    passing(CrashPoint.LEDGER_ENTRY_UNCOMMITTED)
    return entry


def _entry(row: tuple[Any, ...]) -> Entry:
    case, seq, run, at, *rest = row
    return Entry(case, seq, run, _iso(at), *rest)


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _check_texts(draft: Draft) -> None:
    for name, value in vars(draft).items():
        if value is not None and not _storable(value):
            raise LedgerRefused(
                f"the {name} of a ledger entry holds a NUL character or invalid Unicode",
                hint="use another one",
            )


def _storable(value: str) -> bool:
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
