"""Numbers and names of people who do not exist.

Each number passes its check digits and comes from a range that is not given to anybody, where there is one:

* resident numbers (GB 11643, MOD 11-2): region PP99NN; no prefecture has the digits 99 in GB/T 2260;
* mobiles: 154, 161, 164 and 194, which the ministry had not assigned when the list was read (2022); they
  match the usual ``1[3-9]\\d{9}``;
* bank cards (Luhn): no part of the card numbers is reserved for examples; 629999 has the form of a UnionPay
  number and is in no list of issued prefixes that we know;
* unified social credit codes (GB 32100 with the GB 11714 digit inside): region PP99NN again;
* e-mail under example.com, example.net and example.org (RFC 2606).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import numpy as np
import pyarrow as pa

from handover.sample import words
from handover.sample.columns import Bytes, ascii_digits, digits, fixed_text, join, numbers, pick
from handover.sample.dice import Bools, Dice, Ints

_RESIDENT_WEIGHTS = np.array([7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2])
_RESIDENT_CHECKS = np.frombuffer(b"10X98765432", np.uint8)
_CREDIT_ALPHABET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
_CREDIT_WEIGHTS = np.array([pow(3, place, 31) for place in range(17)])
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2])
_ORGANISATION_CHECKS = np.frombuffer(b"0X987654321", np.uint8)
_ORGANISATIONS = 10**8

_MOBILE_PREFIXES = np.array([154, 161, 164, 194])
_PER_PREFIX = 10**8
_CARD_PREFIX = b"629999"
_CARD_BODIES = 10**12

_BORN_FROM, _BORN_BEFORE = np.datetime64("1955-01-01"), np.datetime64("2005-01-01")
_BIRTHDAYS = int((_BORN_BEFORE - _BORN_FROM) / np.timedelta64(1, "D"))
_PROVINCES, _COUNTIES, _ORDERS = len(words.PROVINCE_CODES), 100, 1000


class Role(IntEnum):
    """Who somebody is to the company; keeps the numbers of two roles apart."""

    CUSTOMER = 0
    CONTACT = 1
    GUARANTOR = 2
    EMPLOYEE = 3


@dataclass(frozen=True)
class Identities:
    """Resident numbers and what they say about their holders."""

    numbers: pa.Array
    born: Ints
    male: Bools


def _person(role: Role, index: Ints) -> Ints:
    return index * len(Role) + role


def identities(dice: Dice, role: Role, index: Ints) -> Identities:
    """Region, birthday and order from one shuffled number, so that no two people share a resident number."""
    everybody = _PROVINCES * _COUNTIES * _BIRTHDAYS * _ORDERS
    rest = dice.shuffled("resident", _person(role, index), everybody)
    rest, province = np.divmod(rest, _PROVINCES)
    rest, county = np.divmod(rest, _COUNTIES)
    order, birthday = np.divmod(rest, _BIRTHDAYS)
    born = birthday + int(_BORN_FROM.astype(np.int64))
    parts = [_region(province, county), _birthday_digits()[birthday], digits(order, 3)]
    body = np.concatenate(parts, axis=1)
    check = _RESIDENT_CHECKS[(body @ _RESIDENT_WEIGHTS) % 11]
    return Identities(fixed_text(body + np.uint8(ord("0")), check[:, None]), born, order % 2 == 1)


def _region(province: Ints, county: Ints) -> Bytes:
    codes = np.array(words.PROVINCE_CODES, np.int64)[province]
    return digits(codes * 10_000 + 9_900 + county, 6)


@cache
def _birthday_digits() -> Bytes:
    days = np.arange(_BORN_FROM, _BORN_BEFORE, dtype="datetime64[D]")
    plain = [int(str(day).replace("-", "")) for day in days]
    return digits(np.array(plain, np.int64), 8)


def mobiles(dice: Dice, role: Role, index: Ints) -> pa.Array:
    """Mobile numbers, no two alike."""
    everybody = len(_MOBILE_PREFIXES) * _PER_PREFIX
    prefix, rest = np.divmod(dice.shuffled("mobile", _person(role, index), everybody), _PER_PREFIX)
    return fixed_text(ascii_digits(_MOBILE_PREFIXES[prefix] * _PER_PREFIX + rest, 11))


def card_numbers(dice: Dice, index: Ints) -> pa.Array:
    """Card numbers of 19 digits, no two alike."""
    body = digits(dice.shuffled("card", index, _CARD_BODIES), 12)
    prefix = np.broadcast_to(np.frombuffer(_CARD_PREFIX, np.uint8) - ord("0"), (len(index), 6))
    matrix = np.concatenate([prefix, body], axis=1)
    doubled = matrix[:, ::-1][:, 0::2].astype(np.int64) * 2
    total = (doubled - 9 * (doubled > 9)).sum(axis=1) + matrix[:, ::-1][:, 1::2].sum(axis=1)
    check = ((10 - total % 10) % 10).astype(np.uint8)
    return fixed_text(matrix + np.uint8(ord("0")), check[:, None] + np.uint8(ord("0")))


def credit_codes(dice: Dice, kind: bytes, index: Ints) -> pa.Array:
    """Unified social credit codes; kind is 91 for a company and 92 for a person in business."""
    organisation = digits(dice.shuffled(f"organisation{kind!r}", index, _ORGANISATIONS), 8)
    check = _ORGANISATION_CHECKS[(organisation @ _ORGANISATION_WEIGHTS) % 11]
    province = dice.below("organisation.province", index, _PROVINCES)
    region = _region(province, dice.below("organisation.county", index, _COUNTIES))
    start = np.broadcast_to(np.frombuffer(kind, np.uint8), (len(index), 2))
    zero = np.uint8(ord("0"))
    body = np.concatenate([start, region + zero, organisation + zero, check[:, None]], axis=1)
    alphabet = np.frombuffer(_CREDIT_ALPHABET, np.uint8)
    total = np.searchsorted(alphabet, body) @ _CREDIT_WEIGHTS
    return fixed_text(body, alphabet[(31 - total % 31) % 31][:, None])


@cache
def _surnames() -> pa.Array:
    return pa.array([entry.rstrip("abcdefghijklmnopqrstuvwxyz") for entry in words.SURNAMES])


@cache
def _given_names() -> pa.Array:
    single = list(words.GIVEN_SECOND)
    return pa.array([first + second for first in words.GIVEN_FIRST for second in single] + single * 5)


def names(dice: Dice, role: Role, index: Ints) -> pa.Array:
    """Surname and given name, two to four characters; many people share one."""
    person = _person(role, index)
    given = _given_names()
    surname = pick(_surnames(), dice.below("surname", person, len(words.SURNAMES)))
    return join(surname, pick(given, dice.below("given", person, len(given))))


def emails(dice: Dice, role: Role, index: Ints) -> pa.Array:
    """The surname in Latin letters and a number that no other person has."""
    person = _person(role, index)
    latin = pa.array([entry.lstrip("".join(_surnames().to_pylist())) for entry in words.SURNAMES])
    surname = pick(latin, dice.below("surname", person, len(latin)))
    domain = pick(words.MAIL_DOMAINS, dice.below("mail.domain", person, len(words.MAIL_DOMAINS)))
    return join(surname, ".", numbers(1_000_000 + dice.shuffled("mail", person, 10**9)), "@", domain)


@dataclass(frozen=True)
class Addresses:
    """Parts of an address and the whole of it."""

    province: pa.Array
    city: pa.Array
    street: pa.Array
    whole: pa.Array


def addresses(dice: Dice, kind: str, index: Ints) -> Addresses:
    """A real city and a street whose name says that it is invented."""
    where = dice.below(f"{kind}.city", index, len(words.CITIES))
    province = pick([entry.split("/")[0] for entry in words.CITIES], where)
    city = pick([entry.split("/")[1] for entry in words.CITIES], where)
    road = pick(words.ROADS, dice.below(f"{kind}.road", index, len(words.ROADS)))
    house = numbers(1 + dice.below(f"{kind}.house", index, 998))
    building = numbers(1 + dice.below(f"{kind}.building", index, 30))
    room = numbers(101 + dice.below(f"{kind}.room", index, 2800))
    street = join(road, house, "号", building, "幢", room, "室")
    return Addresses(province, city, street, join(province, city, street))
