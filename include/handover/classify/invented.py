"""Numbers that nobody has, for measuring: from ranges not assigned to people where there are such.

Resident numbers and credit codes have regions PP99NN, which no prefecture has; mobiles begin with 154, 161,
164 and 194, not assigned when the list was read; cards begin with 629999, in no list of issued prefixes that
we know, or with 424242, used for test payments; e-mail lies under the example domains and the test domain of
RFC 2606 and IANA. Hard negatives only look like numbers of persons.
"""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

from stdnum import luhn
from stdnum.cn import ric, uscc

_PROVINCES = "11 12 13 14 15 21 22 23 31 32 33 34 35 36 37 41 42 43 44 45 46 50 51 52 53 54 61 62 63 64 65"
_MOBILES = ("154", "161", "164", "194")
_DOMAINS = ("example.com", "example.net", "mail.example.org", "example.com", "例子.测试")
_WORDS = (
    "lin",
    "zhao.min",
    "info_desk",
    "q_1987",
    "wei-hua",
    "user%20x",
    "B2",
    "sun+loan",
    "o'neil",
    "xiaoyu",
)
_CODE_SIGNS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_FULL_WIDTH = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")


class Invented:
    """Draws for one seed. Every method returns one value as it might be written."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 (a repeatable measurement, nothing secret)

    def digits(self, count: int) -> str:
        return "".join(self.random.choices("0123456789", k=count))

    def _day(self, first: int, last: int) -> str:
        start = date(first, 1, 1)
        days = (date(last, 12, 31) - start).days
        return (start + timedelta(self.random.randint(0, days))).strftime("%Y%m%d")

    def _region(self) -> str:
        return f"{self.random.choice(_PROVINCES.split())}99{self.digits(2)}"

    def resident_id(self) -> str:
        body = self._region() + self._day(1940, 2007) + self.digits(3)
        return body + ric.calc_check_digit(body + "0")

    def mobile(self) -> str:
        return self.random.choice(_MOBILES) + self.digits(8)

    def bank_card(self) -> str:
        prefix, length = self.random.choice((("629999", 19), ("629999", 16), ("629999", 17), ("424242", 16)))
        body = prefix + self.digits(length - len(prefix) - 1)
        return body + luhn.calc_check_digit(body)

    def email(self) -> str:
        return f"{self.random.choice(_WORDS)}{self.digits(3)}@{self.random.choice(_DOMAINS)}"

    def uscc(self) -> str:
        kind = self.random.choice(("91", "91", "92", "93", "52", "12"))
        organisation = "".join(self.random.choices(_CODE_SIGNS, k=8))
        return self._coded(kind + self._region() + self._organisation(organisation))

    def _coded(self, body: str) -> str:
        return body + uscc.calc_check_digit(body)

    def _organisation(self, eight: str) -> str:
        weights = (3, 7, 9, 10, 5, 8, 4, 2)
        total = sum(int(sign, 36) * weight for sign, weight in zip(eight, weights, strict=True))
        return eight + "0X987654321"[total % 11]

    def written(self, kind: str, value: str) -> str:
        """Return the value as people write it: plain, parted, full width or with small letters."""
        way = self.random.randrange(6)
        if kind == "email" or way < 2:
            return value
        if way == 2:
            return value.translate(_FULL_WIDTH)
        parted = " " if way < 5 else "-"
        if kind == "mobile":
            return {3: f"+86{value}", 4: f"+86 {value}"}.get(way) or parted.join(
                (value[:3], value[3:7], value[7:])
            )
        if kind == "resident_id":
            return value.lower() if way == 3 else parted.join((value[:6], value[6:14], value[14:]))
        if kind == "bank_card":
            return parted.join(value[start : start + 4] for start in range(0, len(value), 4))
        return value.lower() if way == 3 else value

    def luhn_number(self) -> str:
        """An order number of 16 to 19 digits, any leading digit, that passes Luhn."""
        body = self.random.choice("123456789") + self.digits(self.random.randint(14, 17))
        return body + luhn.calc_check_digit(body)

    def serial(self) -> str:
        """Eighteen random digits: the resident number's check fits one in eleven, its form hardly ever."""
        return self.random.choice("123456789") + self.digits(17)

    def dated_serial(self) -> str:
        """Branch, day and sequence in 18 digits: the form of a resident number, its check one in eleven."""
        return self._region() + self._day(2019, 2026) + self.digits(4)

    def milliseconds(self) -> str:
        return str(self.random.randint(1_500_000_000_000, 1_799_999_999_999))

    def timestamp(self) -> str:
        return self._day(2019, 2026) + f"{self.random.randrange(240_000):06d}" + self.digits(3)

    def amount(self) -> str:
        """Whole cents or yuan with two places, of nine to twelve digits."""
        number = int(10 ** self.random.uniform(9, 12))
        return self.random.choice((str(number), f"{number}.{self.digits(2)}"))

    def hexadecimal(self) -> str:
        return f"{self.random.getrandbits(128):032x}"

    def short_hexadecimal(self) -> str:
        return f"{self.random.getrandbits(72):018X}"

    def product(self) -> str:
        return f"{self.random.choice(('SKU', 'P', 'XJ'))}{self.random.choice('-_ ')}1{self.digits(10)}"

    def barcode(self) -> str:
        return "69" + self.digits(11)

    def code(self) -> str:
        """Eighteen signs of the credit code's alphabet."""
        return "".join(self.random.choices(_CODE_SIGNS, k=18))

    def package(self) -> str:
        word = self.random.choice(("icon", "react", "banner", "build"))
        return f"{word}@{self.random.choice(('2x.png', '18.2.0', 'latest', 'v3'))}"
