"""What two persons do together: one asks and says why, another approves, the first does it, once, in a day.

The ledger alone says what was asked, approved and used. What is asked for is a mapping without personal data:
keyed tokens in place of values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any, NoReturn

from handover.classify.find import find
from handover.errors import LedgerRefused
from handover.evidence.ledger import Entry, verify_chain
from handover.model.approval import Account
from handover.stages.account_records import unfit
from handover.stages.approvals import PRIVATE
from handover.stages.context import Context

HOLDS = timedelta(days=1)
LONGEST_WORDS = 500
_OURS = ("request", "ticket", "purpose", "by", "account_id")


@dataclass(frozen=True)
class Request:
    """A request in the ledger and what became of it."""

    id: str
    run: str
    at: str
    by: Account
    ticket: str
    purpose: str
    wanted: Mapping[str, Any]
    approved_by: Account | None = None
    expires_at: datetime | None = None
    used_at: str = ""

    @property
    def state(self) -> str:
        """Say how far it is."""
        if self.used_at:
            return "used"
        if self.expires_at is None:
            return "waits for another person"
        return "approved" if datetime.now(UTC) < self.expires_at else "expired"


@dataclass(frozen=True)
class TwoPersons:
    """Requests of one kind in a case; ``ids`` is how their names begin, ``command`` what lists them.

    ``by_anybody``: in a case that asks nobody for approval any second person will do; else none does.
    """

    context: Context
    kind: str
    ids: str
    command: str
    by_anybody: bool = False

    def ask(self, who: Account, ticket: str, purpose: str, wanted: Mapping[str, object]) -> str:
        """Write a request down; returns its id."""
        self._signed()
        name = f"{self.ids}-{token_hex(6)}"
        said = {"ticket": words("ticket", ticket), "purpose": words("purpose", purpose)}
        body = {**wanted, "request": name, **said, **_person(who)}
        self.context.record(f"{self.kind}-requested", body, key=name)
        return name

    def approve(self, who: Account, name: str) -> Request:
        """Let the one who asked go on; only another person may, and only one whom the case names."""
        one = self.find(name)
        if one.expires_at is not None:
            self.refuse(who, one, f"it is {one.state} already", "ask anew")
        if _same(who, one.by):
            self.refuse(who, one, "it was asked for by this person", "let another person approve")
        approvals = self.context.case.approvals
        if approvals is None and not self.by_anybody:
            self.refuse(
                who,
                one,
                "the case names nobody who may approve it",
                "name them under approvals.execute.approvers",
            )
        if approvals is not None and approvals.execute.find(who.name, who.id) is None:
            self.refuse(
                who,
                one,
                "this account is not under approvals.execute.approvers with this id",
                "let one of those approve whom the case names",
            )
        self._require_records(who, one)
        expires = datetime.now(UTC) + HOLDS
        said = expires.isoformat(timespec="microseconds").replace("+00:00", "Z")
        self._record(one, "approved", {"request": name, **_person(who), "expires_at": said}, key=name)
        return replace(one, approved_by=who, expires_at=expires)

    def require_usable(self, who: Account, name: str) -> Request:
        """Return a request that this person may use now; LedgerRefused else, and the attempt is noted."""
        one = self.find(name)
        if not (who.id == one.by.id and who.folded == one.by.folded):
            self.refuse(who, one, "somebody else asked for it", "let the one who asked go on")
        if one.state != "approved":
            remedy = "ask anew" if one.expires_at else "let another person approve it"
            self.refuse(who, one, f"it is not approved: {one.state}", remedy)
        self._require_records(who, one)
        return one

    def _require_records(self, who: Account, one: Request) -> None:
        """Refuse an account without the training or undertaking that the case requires (F01, G-R02)."""
        if lacking := unfit(self.context, who.name):
            self.refuse(who, one, lacking, "register its record under matter.documents, party: its name")

    def use(self, who: Account, name: str, told: Mapping[str, object]) -> Entry:
        """Write down that it is used now; of two at once the ledger takes one."""
        one = self.require_usable(who, name)
        # Two who do it at once write different bodies under one key, so that the second is refused.
        body = {"request": name, **_person(who), **told, "attempt": token_hex(8)}
        return self._record(one, "used", body, key=name)

    def all(self) -> list[Request]:
        """Return all requests of the case, oldest first; LedgerRefused when the ledger does not verify."""
        entries = self._signed()
        asked, approved, used = (f"{self.kind}-{what}" for what in ("requested", "approved", "used"))
        made = {e.body["request"]: _asked(e) for e in entries if e.kind == asked}
        for entry in entries:
            one = made.get(entry.body["request"]) if entry.kind in (approved, used) else None
            if one is None:
                continue
            if entry.kind == used:
                made[one.id] = replace(one, used_at=entry.at)
            elif not _same(by := _account(entry), one.by):
                expires = datetime.fromisoformat(entry.body["expires_at"])
                made[one.id] = replace(one, approved_by=by, expires_at=expires)
        return list(made.values())

    def find(self, name: str) -> Request:
        """Return a request by its id."""
        for one in self.all():
            if one.id == name:
                return one
        raise LedgerRefused(
            f"case {self.context.case.case} has no request with this id",
            hint=f"`{self.command}` shows all",
        )

    def refuse(self, who: Account, one: Request, reason: str, hint: str) -> NoReturn:
        """Write down who tried in vain, and say why."""
        self._record(one, "refused", {"request": one.id, **_person(who), "reason": reason})
        raise LedgerRefused(f"request {one.id}: {reason}", hint=hint)

    def _record(self, one: Request, what: str, body: Mapping[str, object], key: str | None = None) -> Entry:
        return replace(self.context, run=one.run).record(f"{self.kind}-{what}", body, key=key)

    def _signed(self) -> list[Entry]:
        """Return the case's entries after its whole chain was checked with our own public key."""
        entries = self.context.ledger.entries(self.context.case.case)
        public = [self.context.keyring.signer().public_pem]
        if findings := verify_chain((entry.line for entry in entries), public):
            raise LedgerRefused(
                f"the ledger of case {self.context.case.case} does not verify, so nothing in it counts: "
                f"{findings[0]}",
                hint="find out who changed it before anything goes on",
                findings=findings,
            )
        return entries


def _asked(entry: Entry) -> Request:
    body = entry.body
    return Request(
        id=body["request"],
        run=entry.run,
        at=entry.at,
        by=_account(entry),
        ticket=body["ticket"],
        purpose=body["purpose"],
        wanted={name: value for name, value in body.items() if name not in _OURS},
    )


def _account(entry: Entry) -> Account:
    return Account(name=entry.body["by"], id=entry.body["account_id"])


def _person(who: Account) -> dict[str, str]:
    return {"by": who.name, "account_id": who.id}


def _same(one: Account, other: Account) -> bool:
    """Say whether two accounts are one, or could be taken for one."""
    return one.id == other.id or one.folded == other.folded


def words(field: str, text: str) -> str:
    """Return what a person says for the ledger; numbers of persons have no place there."""
    said = " ".join(text.split())
    problems = {
        "is empty": not said,
        f"is longer than {LONGEST_WORDS} characters": len(said) > LONGEST_WORDS,
        "holds signs that are no text": not said.isprintable(),
        "names personal data": any(mention.kind in PRIVATE for mention in find(said[:LONGEST_WORDS])),
    }
    for problem, applies in problems.items():
        if applies:
            raise LedgerRefused(f"nothing was asked: the {field} {problem}", hint="say it in other words")
    return said
