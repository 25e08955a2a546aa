"""What is a number of a person: forms and check digits of identity, telephone, card and other numbers.

Each function takes digits and capital letters without separators and says whether they can be such a number.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

import phonenumbers
from stdnum import imei, luhn
from stdnum.cn import ric, uscc

# GB/T 2260 provinces; 81 to 83 are residence permits of Hong Kong, Macau and Taiwan residents.
PROVINCES = frozenset(
    map(
        str,
        (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71),
    )
)
_PERMIT_PREFIXES = ("810000", "820000", "830000")
_EARLIEST_BIRTH = 1900
# Issuer prefixes with the lengths in use: a Luhn digit alone lets one number in ten pass.
_ISSUERS = (
    (re.compile(r"62|81|60[0-9]|9558|955[0-9]|940[0-9]|68|69"), range(16, 20)),
    (re.compile(r"4"), (16, 19)),
    (re.compile(r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720"), (16,)),
    (re.compile(r"35(2[89]|[3-8])"), (16,)),
    (re.compile(r"3[47]"), (15,)),
    (re.compile(r"3[68]|30[0-5]"), (14,)),
)
# First two characters: registering authority and kind of organisation.
_CREDIT_CODE = re.compile(
    r"(?:1[1239]|2[19]|3[1-59]|4[1-5]|5[1239]|6[129]|7[129]|8[19]|9[123]|A[19]|N[1239]|Y1)"
)
_CREDIT_SIGNS = re.compile(r"[0-9ABCDEFGHJKLMNPQRTUWXY]{2}\d{6}[0-9ABCDEFGHJKLMNPQRTUWXY]{10}")
_ORGANISATION_WEIGHTS = (3, 7, 9, 10, 5, 8, 4, 2)


def _born(digits: str) -> bool:
    """Say whether eight digits are a day on which somebody alive or remembered can be born."""
    try:
        day = date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
    except ValueError:
        return False
    return day.year >= _EARLIEST_BIRTH and day <= date.today()


def is_resident_id(text: str) -> bool:
    """GB 11643: region, birthday, check digit; the region's county is not looked up, lists of them age."""
    return (
        len(text) == 18
        and text[:17].isdigit()
        and text[:2] in PROVINCES
        and _born(text[6:14])
        and text[17] == ric.calc_check_digit(text)
    )


def is_old_resident_id(text: str) -> bool:
    """The form of 15 digits, of people born until 1999; it has no check digit."""
    return len(text) == 15 and text.isdigit() and text[:2] in PROVINCES and _born("19" + text[6:12])


def is_residence_permit(text: str) -> bool:
    """Of Hong Kong, Macau and Taiwan residents, and of foreigners (form of 2023)."""
    return (
        len(text) == 18
        and text[:17].isdigit()
        and (text.startswith(_PERMIT_PREFIXES) or text[0] == "9")
        and _born(text[6:14])
        and text[17] == ric.calc_check_digit(text)
    )


def is_mobile(text: str) -> bool:
    """Eleven digits of a Chinese mobile; prefixes not assigned yet may be tomorrow."""
    return len(text) == 11 and text.isdigit() and text[0] == "1" and text[1] in "3456789"


def is_card(text: str) -> bool:
    """ISO 7812: an issuer's prefix, a length that it uses, the Luhn digit."""
    issued = any(prefix.match(text) and len(text) in lengths for prefix, lengths in _ISSUERS)
    return issued and luhn.is_valid(text)


def is_imei(text: str) -> bool:
    """Fifteen digits with a Luhn digit from a reporting body that allots them."""
    return len(text) == 15 and text[:2] in ("01", "35", "86", "99") and bool(imei.is_valid(text))


def is_credit_code(text: str) -> bool:
    """GB 32100: authority, region, check character; all digits also need the GB 11714 digit inside."""
    if len(text) != 18 or not _CREDIT_CODE.match(text) or not _CREDIT_SIGNS.fullmatch(text):
        return False
    if text[2:4] not in PROVINCES | {"10"} or uscc.calc_check_digit(text[:17]) != text[17]:
        return False
    return not text.isdigit() or _organisation_fits(text[8:17])


def _organisation_fits(text: str) -> bool:
    total = sum(int(sign, 36) * weight for sign, weight in zip(text[:8], _ORGANISATION_WEIGHTS, strict=True))
    return text[8] == "0X987654321"[total % 11]


@lru_cache(maxsize=10_000)
def is_phone(text: str) -> bool:
    """A telephone number that its country's plan knows; ``text`` begins with + or a Chinese area code."""
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(text, "CN"))
    except phonenumbers.NumberParseException:
        return False


def is_personal_credit_code(text: str) -> bool:
    """Kind 92 is a person in business."""
    return text.startswith("92")
