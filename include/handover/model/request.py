"""A person's request about their data, as the ledger has it: what is asked, by when, what became of it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from handover.model.base import Frozen
from handover.model.policy import Text

RequestKind = Literal[
    "access", "portability", "erasure", "restriction", "correction", "objection", "complaint"
]
KIND_WORDS: dict[RequestKind, Text] = {
    "access": Text(zh="查阅、复制个人信息", en="access to and a copy of personal information"),
    "portability": Text(zh="转移个人信息", en="portability of personal information"),
    "erasure": Text(zh="删除个人信息", en="erasure of personal information"),
    "restriction": Text(zh="限制处理个人信息", en="restriction of processing"),
    "correction": Text(zh="更正、补充个人信息", en="correction of personal information"),
    "objection": Text(zh="异议", en="an objection"),
    "complaint": Text(zh="投诉", en="a complaint"),
}
ARTICLES: dict[RequestKind, str] = {
    "access": "PIPL 45, GDPR 15",
    "portability": "PIPL 45, NDSR 25, GDPR 20",
    "erasure": "PIPL 47, GDPR 17",
    "restriction": "PIPL 44, GDPR 18",
    "correction": "PIPL 46, GDPR 16",
    "objection": "PIPL 44, GDPR 21",
    "complaint": "PIPL 50",
}
# Data is given out for these, in one file for the person.
COPIES = ("access", "portability")
# Rows stay until the matter is settled: a hold of this kind is laid on the person.
HOLDING: dict[str, str] = {"objection": "objection", "complaint": "objection", "restriction": "request"}


class Asked(Frozen):
    """What somebody asks for. ``matter``: in the words of who records it, without personal data.

    ``verified``: how the identity was checked. ``basis``: of portability, on what the data was given.
    """

    kind: RequestKind
    channel: str
    received: date
    verified: str
    matter: str = ""
    basis: Literal["consent", "contract"] | None = None


class PersonRequest(Asked):
    """A request that is recorded in ``sources``; ``subjects``: the person's keyed name where there is one.

    ``due``: the last day for the answer, by a ``clock`` whose source is said. ``late``: sources where an
    erasure had begun before the hold; ``missing``: those in which it was never recorded, as opening it died.
    """

    id: str
    due: date
    clock: Text
    doubt: Text | None = None
    sources: tuple[str, ...]
    subjects: dict[str, str] = Field(default={})
    holds: dict[str, str] = Field(default={})
    late: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    by: str
    answered_at: str = ""
    delivered_at: str = ""

    def is_overdue(self, on: date) -> bool:
        """Say whether it should have been answered before a day."""
        return not self.answered_at and on > self.due

    def state(self, on: date) -> str:
        """Say how it stands, for a person."""
        if self.delivered_at:
            return f"delivered on {self.delivered_at[:10]}"
        if self.missing:
            return f"incomplete: not recorded in {', '.join(self.missing)}; open it again"
        if self.answered_at:
            return f"answered on {self.answered_at[:10]}, not delivered"
        return f"overdue since {self.due}" if self.is_overdue(on) else f"open, due {self.due}"
