"""What a column can hold, and what each profile says of it: levels as data, with the source of each.

Where a kind falls between two levels the higher one stands. A data map may say otherwise for a column.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator

from handover.model.base import Frozen

FinancialClass = Literal["none", "C1", "C2", "C3"]
Grade = Literal[1, 2, 3, 4]
GdprCategory = Literal["none", "personal", "special"]

# Profile, what its level says, the instrument, and how far its wording was verified.
PROFILES: dict[str, tuple[str, str, str]] = {
    "jrt0171": ("personal financial information C1–C3", "JR/T 0171-2020 (4.1)", "V2"),
    "pipl_sensitive": ("sensitive personal information", "PIPL 28; GB/T 35273-2020 annex B (P28)", "V1"),
    "gbt43697": ("grade of general data, 4 highest", "GB/T 43697-2024 annex H (4.2)", "K-med"),
    "gdpr": ("personal data, special categories", "GDPR 4(1), 9 (2.5)", "K-high"),
}


class Levels(Frozen):
    """The levels of a column in every profile."""

    jrt0171: FinancialClass
    pipl_sensitive: bool
    gbt43697: Grade
    gdpr: GdprCategory


@dataclass(frozen=True)
class Kind:
    """What a column holds, in both languages, its levels and why they are so."""

    english: str
    chinese: str
    levels: Levels
    why: str

    @property
    def personal(self) -> bool:
        """Say whether it is about a person at all."""
        return self.levels.gdpr != "none"


def _levels(row: str) -> Levels:
    jrt0171, sensitive, grade, gdpr = row.split()
    return Levels.model_validate(
        {
            "jrt0171": jrt0171,
            "pipl_sensitive": sensitive == "sensitive",
            "gbt43697": int(grade),
            "gdpr": gdpr,
        }
    )


# name | English | Chinese | JR/T 0171, PIPL 28, GB/T 43697, GDPR; on the second line why.
_TABLE = """
none | no personal data | 非个人信息 | none ordinary 1 none
    leads to no person
related | other data about a person | 其他与个人有关的信息 | C1 ordinary 2 personal
    JR/T 0171 C1 other; GDPR 4(1) relates to a person
internal_id | identifier inside the company | 内部标识 | C1 ordinary 2 personal
    JR/T 0171 C1; GDPR 4(1) identification number
resident_id | resident identity number | 居民身份证号 | C2 sensitive 4 personal
    JR/T 0171 C2 KYC; GB/T 35273 annex B identity; kept sensitive under GB/T 45574
residence_permit | residence permit number | 居住证件号 | C2 sensitive 4 personal
    as resident_id
passport | passport number | 护照号 | C2 sensitive 4 personal
    GB/T 35273 annex B identity
travel_permit | travel permit number | 通行证号 | C2 sensitive 4 personal
    GB/T 35273 annex B identity
mobile | mobile number | 手机号 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC
phone | telephone number | 电话号码 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC
email | e-mail address | 电子邮箱 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC
address | postal address | 地址 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC
person_name | name of a person | 姓名 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC
birth_date | date of birth | 出生日期 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC; PIPL 31 age
attribute | sex, education, employer, family | 个人属性 | C2 ordinary 3 personal
    JR/T 0171 C2 KYC
special | health, religion, ethnicity, biometrics aside | 特殊类别信息 | C2 sensitive 4 special
    PIPL 28; GDPR 9(1)
bank_card | bank card number | 银行卡号 | C2 sensitive 4 personal
    JR/T 0171 C2 card number; PIPL 28 financial accounts
account_no | account number | 账号 | C2 sensitive 4 personal
    JR/T 0171 C2 payment account; PIPL 28 financial accounts
amount | amounts of a person's income, loans, payments | 个人金额信息 | C2 sensitive 4 personal
    JR/T 0171 C2 property; GB/T 35273 annex B property
uscc | credit code of a company | 统一社会信用代码 | none ordinary 1 none
    GB 32100; names a company
owner_uscc | credit code of a person in business | 个体工商户信用代码 | C2 ordinary 3 personal
    GB 32100 prefix 92 names its owner
plate | vehicle plate | 车牌号 | C2 ordinary 3 personal
    leads to the holder
ip_address | IP address | IP地址 | C1 ordinary 2 personal
    GDPR 4(1) online identifier
mac_address | hardware address | MAC地址 | C1 ordinary 2 personal
    GDPR 4(1) online identifier
device_id | device identifier | 设备标识 | C1 ordinary 2 personal
    GDPR 4(1) online identifier
location | position | 位置 | C2 sensitive 4 personal
    PIPL 28 whereabouts
biometric | biometrics | 生物识别信息 | C3 sensitive 4 special
    JR/T 0171 C3; PIPL 28; GDPR 9(1); R26
document_image | image of an identity document or contract | 证件影像 | C2 sensitive 4 personal
    JR/T 0171 C2 images; GB/T 45574 photo of the ID card
credential | password, PIN, key or its hash | 鉴别信息 | C3 sensitive 4 personal
    JR/T 0171 C3; R27
one_time_code | one-time code or security answer | 动态口令 | C3 sensitive 4 personal
    JR/T 0171 C2, C3 beside an account
free_text | free text | 自由文本 | C1 ordinary 2 personal
    at least, plus what it contains
json | structured document | 结构化文档 | C1 ordinary 2 personal
    at least, plus what it contains
"""


def _read() -> dict[str, Kind]:
    kinds = {}
    lines = iter(_TABLE.strip().splitlines())
    for line, why in zip(lines, lines, strict=True):
        name, english, chinese, levels = (part.strip() for part in line.split("|"))
        kinds[name] = Kind(english, chinese, _levels(levels), why.strip())
    return kinds


KINDS = _read()


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not a kind; one of {', '.join(KINDS)}")
    return kind


KindName = Annotated[str, AfterValidator(_known)]
_CLASSES: tuple[FinancialClass, ...] = ("none", "C1", "C2", "C3")
_CATEGORIES: tuple[GdprCategory, ...] = ("none", "personal", "special")


def highest(levels: list[Levels]) -> Levels:
    """Return the highest level of each profile: what holds several kinds is as high as the highest."""
    return Levels(
        jrt0171=max((one.jrt0171 for one in levels), key=_CLASSES.index),
        pipl_sensitive=any(one.pipl_sensitive for one in levels),
        gbt43697=max(one.gbt43697 for one in levels),
        gdpr=max((one.gdpr for one in levels), key=_CATEGORIES.index),
    )


def levels_of(kind: str, contains: tuple[str, ...] = ()) -> Levels:
    """Return the levels of a kind that contains others."""
    return highest([KINDS[name].levels for name in (kind, *contains)])
