"""A certificate of destruction: its facts, whether it is final, and since when everything is gone.

It cannot be made to say more than its facts carry: the model refuses.
"""

from __future__ import annotations

from datetime import date
from functools import cached_property
from typing import Literal, Self

import rfc8785
from pydantic import model_validator

from handover.errors import EvidenceInvalid
from handover.model.destruction_claims import (
    effective_date,
    method_words,
    open_points,
    refusals,
    search_words,
)
from handover.model.destruction_facts import CertificateFacts
from handover.model.policy import Text

Finality = Literal["provisional", "final"]
FINALITIES: dict[Finality, Text] = {
    "provisional": Text(zh="临时证明", en="provisional"),
    "final": Text(zh="最终证明", en="final"),
}
# Said in every certificate: what nobody looked at, and what the words do not mean.
NOT_COVERED: tuple[Text, ...] = (
    Text(
        zh="所给连接之外的副本库、WAL 归档、文件系统快照和服务器日志",
        en="replicas, WAL archives, file-system snapshots and server logs outside the connections given",
    ),
    Text(zh="个人自行留存的复制件", en="copies made by people"),
    Text(zh="未在本证明登记的物理介质", en="physical media that are not registered here"),
    Text(
        zh="持有签名密钥的调度平台管理员或流程作者的行为",
        en="acts of a scheduler's administrator or workflow author who holds the signing key",
    ),
)
REMARKS: tuple[Text, ...] = (
    Text(zh="本证明不构成法律意见。", en="This is not legal advice."),
    Text(
        zh="NIST SP 800-88r2 的术语针对存储介质；数据库行的处置如实称为逻辑删除与密码销毁。",
        en="The terms of NIST SP 800-88r2 are of media; for database rows the words are logical deletion and "
        "crypto-shredding.",
    ),
    Text(
        zh="记录链上的签名用于发现篡改，不是《电子签名法》所称可靠的电子签名。",
        en="The signatures of the record chain show tampering; they are no reliable electronic signatures in "
        "the sense of the Electronic Signature Law.",
    ),
    Text(
        zh="去标识化的数据和密钥化代号仍属个人信息。",
        en="De-identified data and keyed tokens are still personal information.",
    ),
)


class Certificate(CertificateFacts):
    """The certificate itself."""

    finality: Finality
    effective_erasure_date: date | None

    @model_validator(mode="after")
    def _says_no_more_than_its_facts(self) -> Self:
        wrong = refusals(self)
        points = open_points(self)
        if self.finality == "final" and points:
            wrong += [f"it cannot be final: {point.en}" for point in points]
        expected = effective_date(self) if self.finality == "final" else None
        if self.effective_erasure_date != expected:
            wrong.append(f"effective_erasure_date is {self.effective_erasure_date}, the facts say {expected}")
        if wrong:
            raise ValueError("; ".join(dict.fromkeys(wrong)))
        return self

    @property
    def open_points(self) -> tuple[Text, ...]:
        """Return what keeps it provisional."""
        return open_points(self)

    @property
    def statement(self) -> Text:
        """Return what it says of the search."""
        return search_words(self)

    @property
    def not_covered(self) -> tuple[Text, ...]:
        """Return what it does not vouch for."""
        return (*NOT_COVERED, *self.also_not_covered)

    @cached_property
    def json_bytes(self) -> bytes:
        """The machine-readable form, with the words that follow from the facts."""
        words = {
            "methods": {line.method: method_words(self, line.method).document() for line in self.treated},
            "search": self.statement.document(),
            "open_points": [point.document() for point in self.open_points],
            "not_covered": [one.document() for one in self.not_covered],
            "remarks": [one.document() for one in REMARKS],
        }
        return rfc8785.dumps(self.document() | {"words": words})  # type: ignore[arg-type]


def certify(facts: CertificateFacts) -> Certificate:
    """Return the strongest certificate that the facts carry; EvidenceInvalid says why none can be."""
    wrong = refusals(facts)
    if wrong:
        raise EvidenceInvalid(
            "no certificate of destruction can be made: " + "; ".join(dict.fromkeys(wrong)),
            hint="finish or put right what is named; no certificate is made of a part",
            refused=wrong,
        )
    final = not open_points(facts)
    values = {name: getattr(facts, name) for name in CertificateFacts.model_fields}
    return Certificate(
        **values,
        finality="final" if final else "provisional",
        effective_erasure_date=effective_date(facts) if final else None,
    )
