"""Credit codes of companies and vehicle plates, numbered like other spaces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from handover.pseudonymise.cells import Bools, Bytes, Ints, Words
from handover.pseudonymise.spaces import ZERO, digits, number, places, spelled, spelled_all

_CREDIT = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRTUWXY", np.uint8)
_CREDIT_WEIGHTS = np.array([pow(3, place, 31) for place in range(17)], np.float32)
_ORGANISATION_WEIGHTS = np.array([3, 7, 9, 10, 5, 8, 4, 2], np.float32)
_ORGANISATION_CHECKS = np.frombuffer(b"0X987654321", np.uint8)
_BASE36 = np.frombuffer(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", np.uint8)
_BODY = 8


def _values(alphabet: Bytes) -> Ints:
    return places(alphabet.astype(np.int64), 256)


_CREDIT_VALUE, _BASE36_VALUE = _values(_CREDIT), _values(_BASE36)


def _in_base(values: Ints, base: int) -> Ints:
    total = np.zeros(len(values), np.int64)
    for place in range(values.shape[1]):
        total = total * base + values[:, place]
    return total


def _of_base(numbers: Ints, base: int, width: int) -> Ints:
    out = np.empty((len(numbers), width), np.int64)
    for place in range(width - 1, -1, -1):
        numbers, out[:, place] = np.divmod(numbers, base)
    return out


def _organisation_check(body: Bytes) -> Bytes:
    """The sign of GB 11714 behind eight others."""
    sums = _BASE36_VALUE[body].astype(np.float32) @ _ORGANISATION_WEIGHTS
    return _ORGANISATION_CHECKS[sums.astype(np.int64) % 11]


def _credit_check(body: Bytes) -> Bytes:
    """The sign of GB 32100 behind seventeen others."""
    sums = _CREDIT_VALUE[body].astype(np.float32) @ _CREDIT_WEIGHTS
    return _CREDIT[(31 - sums.astype(np.int64) % 31) % 31]


@dataclass(frozen=True, eq=False)
class Credit:
    """Unified social credit codes (GB 32100) of some prefectures; authority and kind (two signs) stay.

    Whether a code is a company's or a person's in business is needed to treat it, and identifies nobody.
    """

    prefectures: Ints
    width = 18

    @cached_property
    def _place(self) -> Ints:
        return places(self.prefectures, 10_000)

    @property
    def size(self) -> int:
        """Return how many codes of one authority and kind there are."""
        return len(self.prefectures) * 100 * int(31**_BODY)

    def rank(self, signs: Bytes) -> tuple[Words, Bools]:
        """Return each code's place; valid with a known prefecture and both check signs."""
        values = _CREDIT_VALUE[signs]
        good: Bools = np.all(values >= 0, axis=1)
        clean = np.where(good[:, None], signs, ZERO)
        region, numeric = digits(clean[:, 2:8])
        place = self._place[number(region[:, :4])]
        good &= numeric & (place >= 0)
        good &= _organisation_check(clean[:, 8:16]) == signs[:, 16]
        good &= _credit_check(clean[:, :17]) == signs[:, 17]
        body = _in_base(np.where(good[:, None], values[:, 8:16], 0), 31)
        return ((place * 100 + number(region[:, 4:6])) * 31**_BODY + body).astype(np.uint64), good

    def unrank(self, numbers: Words, like: Bytes) -> Bytes:
        """Return the codes."""
        region, body = np.divmod(numbers.astype(np.int64), 31**_BODY)
        out = np.empty((len(numbers), self.width), np.uint8)
        out[:, :2] = like[:, :2]
        out[:, 2:6] = spelled_all(4)[self.prefectures[region // 100]]
        out[:, 6:8] = spelled_all(2)[region % 100]
        out[:, 8:16] = _CREDIT[_of_base(body, 31, _BODY)]
        out[:, 16] = _organisation_check(out[:, 8:16])
        out[:, 17] = _credit_check(out[:, :17])
        return out


_PROVINCES = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼"
_PROVINCE_BYTES = np.frombuffer("".join(sorted(_PROVINCES)).encode(), np.uint8).reshape(-1, 3)
_LETTERS = np.frombuffer(b"ABCDEFGHJKLMNPQRSTUVWXYZ", np.uint8)
_SIGNS = np.frombuffer(b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ", np.uint8)
_ENERGY = np.frombuffer(b"DF", np.uint8)
_LETTER_VALUE, _SIGN_VALUE, _ENERGY_VALUE = _values(_LETTERS), _values(_SIGNS), _values(_ENERGY)


def _province_number(signs: Bytes) -> Ints:
    return (signs[:, 0].astype(np.int64) << 16) | (signs[:, 1].astype(np.int64) << 8) | signs[:, 2]


@dataclass(frozen=True)
class Plate:
    """Plates of GA 36 with five signs behind province and letter; of cars with new energy, six."""

    new_energy: bool

    @property
    def width(self) -> int:
        """Return the bytes; the province is one Han character, three of them."""
        return 10 if self.new_energy else 9

    @property
    def _tails(self) -> int:
        """How many signs can stand behind the letter; with new energy small cars first, then large ones."""
        return 2 * 34 * 10**4 + 2 * 10**5 if self.new_energy else 34**5

    @property
    def size(self) -> int:
        """Return how many plates there are."""
        return len(_PROVINCE_BYTES) * len(_LETTERS) * self._tails

    def rank(self, signs: Bytes) -> tuple[Words, Bools]:
        """Return each plate's place."""
        known = _province_number(_PROVINCE_BYTES)
        province = np.searchsorted(known, _province_number(signs)).clip(max=len(known) - 1)
        letter = _LETTER_VALUE[signs[:, 3]]
        good = (known[province] == _province_number(signs)) & (letter >= 0)
        tail, fits = self._rank_new(signs[:, 4:]) if self.new_energy else self._rank_old(signs[:, 4:])
        place = (province * len(_LETTERS) + letter) * self._tails + tail
        return place.astype(np.uint64), good & fits

    def _rank_old(self, tail: Bytes) -> tuple[Ints, Bools]:
        values = _SIGN_VALUE[tail]
        good: Bools = np.all(values >= 0, axis=1)
        return _in_base(values, 34), good

    def _rank_new(self, tail: Bytes) -> tuple[Ints, Bools]:
        last, four = digits(tail[:, 2:])
        first, five = digits(tail[:, :5])
        small = (_ENERGY_VALUE[tail[:, 0]] * 34 + _SIGN_VALUE[tail[:, 1]]) * 10**4 + number(last)
        large = 2 * 34 * 10**4 + _ENERGY_VALUE[tail[:, 5]] * 10**5 + number(first)
        is_small = (_ENERGY_VALUE[tail[:, 0]] >= 0) & (_SIGN_VALUE[tail[:, 1]] >= 0) & four
        is_large = (_ENERGY_VALUE[tail[:, 5]] >= 0) & five
        return np.where(is_small, small, large), is_small | is_large

    def unrank(self, numbers: Words, like: Bytes) -> Bytes:
        """Return the plates."""
        front, tail = np.divmod(numbers.astype(np.int64), self._tails)
        out = np.empty((len(numbers), self.width), np.uint8)
        out[:, :3] = _PROVINCE_BYTES[front // len(_LETTERS)]
        out[:, 3] = _LETTERS[front % len(_LETTERS)]
        out[:, 4:] = self._new_tail(tail) if self.new_energy else _SIGNS[_of_base(tail, 34, 5)]
        return out

    def _new_tail(self, tail: Ints) -> Bytes:
        small = tail < 2 * 34 * 10**4
        out = np.empty((len(tail), 6), np.uint8)
        head, last = np.divmod(tail[small], 10**4)
        out[small, 0], out[small, 1] = _ENERGY[head // 34], _SIGNS[head % 34]
        out[small, 2:] = spelled(last, 4)
        fuel, first = np.divmod(tail[~small] - 2 * 34 * 10**4, 10**5)
        out[~small, :5], out[~small, 5] = spelled(first, 5), _ENERGY[fuel]
        return out
