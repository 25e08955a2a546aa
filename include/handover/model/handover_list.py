"""A hand-over list of accounting archives as made for one run, its signatures and the receiver's tests.

Words follow the accounting archive measures (article 24): between units a supervisor is 监督人, between
persons 监交人.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Annotated, Literal

import rfc8785
from pydantic import Field, StringConstraints

from handover.model.base import Frozen
from handover.model.legal_terms import Words
from handover.model.matter import Sha256
from handover.model.policy import Text

Role = Literal["giver-handler", "receiver-handler", "giver-supervisor", "receiver-supervisor"]
Test = Literal["accurate", "complete", "usable", "safe"]
ROLES: dict[Role, Text] = {
    "giver-handler": Text(zh="移交方经办人（移交人）", en="handler of the giving unit"),
    "receiver-handler": Text(zh="接收方经办人（接收人）", en="handler of the receiving unit"),
    "giver-supervisor": Text(zh="移交方监督人（监交人）", en="supervisor of the giving unit"),
    "receiver-supervisor": Text(zh="接收方监督人（监交人）", en="supervisor of the receiving unit"),
}
TESTS: dict[Test, Text] = {
    "accurate": Text(zh="准确性", en="accuracy"),
    "complete": Text(zh="完整性", en="completeness"),
    "usable": Text(zh="可用性", en="usability"),
    "safe": Text(zh="安全性", en="safety"),
}


class ControlAmount(Frozen):
    """A sum as it may be shown: its exact decimal text, or a keyed token where few rows stand behind it."""

    of: str
    shown: str


class Control(Frozen):
    """Rows and sums of one table within a volume, equal in source and target."""

    table: str
    rows: int
    amounts: tuple[ControlAmount, ...]


class Duration(Frozen):
    """Whole years and months."""

    years: int
    months: int


class Volume(Frozen):
    """A line of the list. ``required_years`` None: permanently, so that ``keep_until`` is None too."""

    archive: Words
    code: Words
    number: int
    volumes: int
    first_year: int
    last_year: int
    rule: str
    required_years: int | None
    kept: Duration
    keep_until: date | None
    controls: tuple[Control, ...]


class ListedTable(Frozen):
    """A table of an archive: ``digest`` is over the keyed digests of its chunks, as the manifest has them."""

    archive: Words
    table: str
    rows: int
    chunks: int
    format: str
    digest: Sha256


class TechnicalCheck(Frozen):
    """What software found about one of the receiver's four tests; a person still answers it."""

    test: Test
    passed: bool
    found: tuple[Text, ...]


class HandoverList(Frozen):
    """The whole list. ``edition`` counts how often it was made in this run: one made anew is another list."""

    number: Words
    edition: int
    case: str
    run: str
    title: str
    compiled_on: date
    giver: str
    recipient: str
    medium: Words
    reader: Words
    currency: Words
    generation: int
    volumes: tuple[Volume, ...]
    tables: tuple[ListedTable, ...]
    checks: tuple[TechnicalCheck, ...]
    open_questions: tuple[Words, ...]

    @cached_property
    def json_bytes(self) -> bytes:
        """The form that signatures are bound to."""
        return rfc8785.dumps(self.document())  # type: ignore[arg-type]

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of that form."""
        return self.sha256_of_json()


class Signature(Frozen):
    """A person's signature on the printed list; ``sha256`` is that of the scan or signed file."""

    list_sha256: Sha256
    role: Role
    name: Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
    on: date
    file: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f/]{1,200}$")]
    sha256: Sha256


class ReceiverTest(Frozen):
    """The receiver's answers to the four tests, with the reasons for them."""

    list_sha256: Sha256
    answers: Annotated[dict[Test, bool], Field(min_length=4)]
    name: Annotated[str, StringConstraints(min_length=1, max_length=100, strip_whitespace=True)]
    reason: Words
