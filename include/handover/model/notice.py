"""Notices to persons: which fields each kind must have, and what a person's notice is made of.

What a notice says is written by people in both languages, one file for each mailing; what a kind leaves out
by law stays out. Nothing here is personal but the addressees, who never lie in a file of the project.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from handover.errors import CaseInvalid
from handover.model.base import Frozen
from handover.model.reconciliation import ColumnName, TableName
from handover.model.strict_yaml import line_of, read_mapping

NoticeKind = Literal["P17", "P22", "P23", "P39", "P57"]
Channel = Literal["mobile", "email", "address"]
# What the data map must call a column that a letter is sent by: nothing else may leave for the sender.
CHANNEL_KINDS: dict[str, tuple[str, ...]] = {
    "name": ("person_name",),
    "mobile": ("mobile", "phone"),
    "email": ("email",),
    "address": ("address",),
}
CHANNELS: tuple[Channel, ...] = ("mobile", "email", "address")
# Headings of what a notice says, in the order in which it says it.
FIELDS: dict[str, tuple[str, str]] = {
    "handler": ("个人信息处理者", "Who handles your personal information"),
    "handler_contact": ("联系方式", "How to reach us"),
    "reason": ("事由", "Why you receive this"),
    "effective": ("生效日期", "From when"),
    "changes": ("变更事项", "What changes"),
    "recipient": ("接收方名称", "Who receives it"),
    "recipient_contact": ("接收方联系方式", "How to reach the recipient"),
    "recipient_country": ("接收方所在国家或地区", "Country or region of the recipient"),
    "kinds": ("个人信息种类", "Kinds of personal information"),
    "purpose": ("处理目的", "Purpose"),
    "method": ("处理方式", "Method"),
    "unchanged": ("处理目的和方式是否变更", "Whether purpose and method stay as they are"),
    "period": ("保存期限", "How long it is kept"),
    "kept_by_law": ("依法继续保存的内容", "What the law wants kept"),
    "sensitive_necessity": ("处理敏感个人信息的必要性", "Why sensitive information is necessary"),
    "sensitive_impact": ("对个人权益的影响", "What that means for you"),
    "export": ("出境情况", "What leaves the country"),
    "claim": ("转让的债权", "The claim that is assigned"),
    "payment_account": ("还款账户及核验方式", "Account for payments, and how to check it"),
    "cause": ("事件原因", "What happened"),
    "harm": ("可能造成的危害", "Possible harm"),
    "measures": ("已采取的补救措施", "What was done about it"),
    "advice": ("您可以采取的减轻危害的措施", "What you can do"),
    "consent": ("单独同意的方式和期限", "How and until when you may consent"),
    "rights": ("您的权利及行使方式", "Your rights and how to use them"),
    "rights_after": ("生效日期后行使权利的方式", "How to use them afterwards"),
    "recipient_rights": ("向接收方行使权利的方式", "How to use your rights against the recipient"),
    "objection": ("拒绝或撤回的方式和期限", "How and until when you may object"),
    "authority": ("投诉机关", "Where you can complain"),
}
TOGETHER = (("sensitive_necessity", "sensitive_impact"), ("claim", "payment_account"))
_OF_US = ("handler", "handler_contact")
_OF_RECIPIENT = (*_OF_US, "reason", "effective", "recipient", "recipient_contact", "kinds")
_WAYS_OUT = ("rights", "objection", "authority")


@dataclass(frozen=True)
class KindOfNotice:
    """A kind of notice: its title, the article that asks for it, the fields without which it is none."""

    zh: str
    en: str
    basis: str
    must: tuple[str, ...]


KINDS: dict[NoticeKind, KindOfNotice] = {
    "P17": KindOfNotice(
        "个人信息处理规则告知书",
        "Notice about the handling of your personal information",
        "个人信息保护法 17 / PIPL 17",
        (*_OF_US, "changes", "purpose", "method", "kinds", "period", "rights"),
    ),
    "P22": KindOfNotice(
        "个人信息转移告知书",
        "Notice of the transfer of your personal information",
        "个人信息保护法 22、17 / PIPL 22 and 17",
        (*_OF_RECIPIENT, "unchanged", "kept_by_law", "rights_after", *_WAYS_OUT),
    ),
    "P23": KindOfNotice(
        "向其他处理者提供个人信息告知书",
        "Notice of providing your personal information to another handler",
        "个人信息保护法 23、17 / PIPL 23 and 17",
        (*_OF_RECIPIENT, "purpose", "method", "period", "kept_by_law", "consent", *_WAYS_OUT),
    ),
    "P39": KindOfNotice(
        "个人信息出境告知书",
        "Notice of the export of your personal information",
        "个人信息保护法 39 / PIPL 39",
        (*_OF_RECIPIENT, "recipient_country", "purpose", "method", "recipient_rights", *_WAYS_OUT),
    ),
    "P57": KindOfNotice(
        "个人信息安全事件告知书",
        "Notice of a personal information security incident",
        "个人信息保护法 57 / PIPL 57",
        (*_OF_US, "kinds", "cause", "harm", "measures", "advice", "authority"),
    ),
}
Line = Annotated[str, StringConstraints(min_length=1, max_length=2000, strip_whitespace=True)]


class Said(Frozen):
    """The same in both languages."""

    zh: Line
    en: Line


class Elsewhere(Frozen):
    """A column of another table; ``matches`` are its columns with the person's key, ``newest_by`` decides."""

    table: TableName
    column: ColumnName
    matches: Annotated[tuple[ColumnName, ...], Field(min_length=1)]
    newest_by: ColumnName | None = None


class Addressee(Frozen):
    """Where the persons of a table are named and reached."""

    person: TableName
    name: ColumnName
    mobile: ColumnName | Elsewhere | None = None
    email: ColumnName | Elsewhere | None = None
    address: ColumnName | Elsewhere | None = None

    @model_validator(mode="after")
    def _has_a_way(self) -> Addressee:
        if not any((self.mobile, self.email, self.address)):
            raise ValueError("names no way to reach anybody; give mobile, email or address")
        return self


class Notice(Frozen):
    """What a mailing says, and to whom."""

    notice: NoticeKind
    case: Line
    issued: date
    fields: dict[str, Said]
    addressees: Annotated[tuple[Addressee, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _says_all_that_it_must(self) -> Notice:
        kind = KINDS[self.notice]
        if unknown := [name for name in self.fields if name not in FIELDS]:
            raise ValueError(f"no field is called {', '.join(unknown)}; known: {', '.join(FIELDS)}")
        lacking = [name for name in kind.must if name not in self.fields]
        for one, other in TOGETHER:
            if (one in self.fields) != (other in self.fields):
                lacking.append(other if one in self.fields else one)
        if lacking:
            words = ", ".join(f"{name} ({FIELDS[name][0]})" for name in lacking)
            raise ValueError(f"a notice {self.notice} ({kind.basis}) needs {words}")
        tables = [one.person.label for one in self.addressees]
        if twice := sorted({label for label in tables if tables.count(label) > 1}):
            raise ValueError(f"addressees name {', '.join(twice)} twice; keep one of them")
        return self

    @property
    def kind(self) -> KindOfNotice:
        """Return what its kind asks for."""
        return KINDS[self.notice]

    @property
    def paragraphs(self) -> list[tuple[tuple[str, str], Said]]:
        """Return heading and text of all that it says, in order."""
        return [(heading, self.fields[name]) for name, heading in FIELDS.items() if name in self.fields]


def parse_notice(text: str, name: str) -> Notice:
    """Return the notice that ``text`` says; raises CaseInvalid with file, line, field and remedy."""
    start = "take the one of its kind from include/notices to start from"
    root, document = read_mapping(text, f"notice {name}", start, CaseInvalid)
    try:
        return Notice.model_validate(document)
    except ValidationError as problem:
        found = problem.errors(include_url=False, include_input=False)
        lines = [
            f"line {line_of(root, error['loc'])}, {'.'.join(map(str, error['loc'])) or 'fields'}: "
            f"{error['msg'].removeprefix('Value error, ')}"
            for error in found
        ]
        raise CaseInvalid(
            f"notice {name} is not valid:\n  " + "\n  ".join(lines), hint="write what is named above"
        ) from None
