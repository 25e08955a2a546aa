"""The quick searches find exactly what looking at one thing after the other finds, whatever comes."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from handover.risk.buffers import plain
from handover.risk.in_bytes import BytesSearch
from handover.risk.pairs import Pairs
from handover.risk.persons import Person, Persons
from handover.risk.raw_values import RawValues
from handover.risk.searching import Search
from handover.risk.sieved_bytes import SievedBytesSearch
from handover.risk.sieved_values import SievedValues

NAMES = [None, "王小明", "李四", "李四光", "John Smith", "赵", "ＡＢ", "👍🏽一", "a\tb"]
DAYS = [None, "1985-06-12", "1990-01-02", "unknown"]
PLACES = [None, "示例省示例市文三路3号2单元", "示例省示例市文三路3号", "12 Long Street"]
PERSONS = st.lists(st.builds(Person, *map(st.sampled_from, (NAMES, DAYS, PLACES))), max_size=12)
# What stands in rows: the things, parts of them, what may be between, and other writings.
PARTS = [
    *(one for one in (*NAMES, *PLACES) if one),
    *("1985-06-12", "19850612", "1985年6月12日", "1990/1/2", "1990-01-02 08:00", "319900102", "2000-01-01"),
    *(
        "王",
        "小明",
        "JOHN  SMITH",
        "示例省",
        "光",
        "，",
        " ",
        "-",
        "\\n",
        "\\u674e",
        "x",
        "3",
        "\u3000",
        "\ufeff",
    ),
]
CELLS = st.lists(st.sampled_from(PARTS), max_size=6).map(lambda parts: "".join(parts).replace("\t", " "))
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=3), min_size=1, max_size=5)


def written(rows: list[list[str]]) -> bytes:
    return "".join("\t".join(row) + "\n" for row in rows).encode()


@given(PERSONS, ROWS, st.integers(0, 12))
@example([Person("李四", "1990-01-02", None)] * 2, [["李四", "1990-01-02"]], 1)
@example([Person("a\tb", None, "示例省示例市文三路3号")], [["a b", "示例省示例市文三路3号"]], 0)
def test_persons_found_together_are_those_found_one_by_one(
    persons: list[Person], rows: list[list[str]], cut: int
) -> None:
    pairs = Pairs()
    for some in (persons[:cut], persons[cut:]):
        pairs.add(some)
    assert len(pairs) == len(persons)
    text = written(rows)
    expected = Persons(persons)(text)
    assert sorted(map(vars_of, pairs(text))) == sorted(map(vars_of, expected))


def test_many_things_in_a_row_are_joined_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("handover.risk.pairs._TOGETHER", 3)
    monkeypatch.setattr("handover.risk.pairs._PIECE", 90)
    persons = [
        Person(f"{sign}小明", f"1985-06-{day:02d}", None) for day, sign in enumerate("王李张刘陈杨", 1)
    ]
    pairs = Pairs()
    pairs.add(persons)
    rows = [
        "，".join(f"{sign}小明" for sign in "王李张刘") + f"\t1985-06-03 {n}，1985-06-04\n" for n in range(4)
    ]
    text = "".join([*rows, "陈小明\t1985-06-05\n杨小明\t1985-06-05\n"]).encode()
    expected = Persons(persons)(text)
    assert [hit.row for hit in expected] == [0, 1, 2, 3, 4]
    assert pairs(text) == expected


def vars_of(hit: object) -> tuple[object, ...]:
    return tuple(vars(hit).values())


EMAILS = ["li.si@example.test", "x@示例.test", "+tag@example.test", "a@" + "long-name." * 4 + "test"]
VALUES = RawValues()
VALUES.add("email", EMAILS)
SEARCH = Search(VALUES)
SIEVED = SievedValues()
SIEVED.add("email", EMAILS)
_LOCAL = re.compile(r"[A-Za-z0-9._%+'-]{1,64}\Z")
MAIL_PARTS = [
    *EMAILS,
    "li.si@",
    "Example.TEST",
    "x@",
    "示例.test",
    "@",
    ".",
    "+",
    "a",
    " ",
    "，",
    "é",
    "long-name.",
]


@pytest.mark.parametrize("search", [SEARCH, Search(SIEVED)], ids=["looked up", "sieved"])
@given(st.lists(st.lists(st.sampled_from(MAIL_PARTS), max_size=8).map("".join), min_size=1, max_size=5))
@example(["x" * 70 + EMAILS[0], EMAILS[0] + "é", "." + EMAILS[0] + ".", EMAILS[3] + "-"])
def test_emails_found_at_once_are_those_found_one_by_one(search: Search, cells: list[str]) -> None:
    text = written([[cell] for cell in cells])
    lines = plain(text).decode().split("\n")[:-1]
    assert [hit.row for hit in search(text)] == [n for n, line in enumerate(lines) if has_email(line)]


def has_email(line: str) -> bool:
    """Say whether one of the addresses is there, by trying what stands around each @."""
    for at in (n for n, sign in enumerate(line) if sign == "@"):
        local = _LOCAL.search(line.encode()[: len(line[:at].encode())][-64:].decode("latin-1"))
        ends = [
            re.match(form, line[at + 1 :]) for form in ("[A-Za-z0-9.-]*", "[A-Za-z0-9.\u0080-\U0010ffff-]*")
        ]
        for end in ends if local else ():
            domain = end[0].rstrip(".-").lower() if end else ""
            for name in (local[0], local[0].lstrip(".%+'-_")) if local else ():
                if f"{name.lower()}@{domain}" in EMAILS:
                    return True
    return False


IN_BYTES, SLOWLY = SievedBytesSearch(SIEVED), BytesSearch(VALUES)
GLUED = [
    *(one.encode() for one in MAIL_PARTS),
    b"\0",
    b"7",
    b"S",
    b"\x93",
    b"\xe6\x9d",
    b"-",
    b"...",
    b"=",
    b"m" * 300,
]


@given(st.lists(st.sampled_from(GLUED), max_size=8).map(b"".join))
@example(b"id7" + EMAILS[0].encode() + b"7")
@example(EMAILS[1].encode() + b"\x93x")
@example(b"x" * 60 + EMAILS[2].encode() + b"-.-")
def test_sieved_bytes_are_those_found_one_by_one(data: bytes) -> None:
    # An end that is both glued to a letter and followed by other signs only the quick search tries.
    assert IN_BYTES(data) >= SLOWLY(data)
    assert not IN_BYTES(data) or any(one.encode() in data.lower() for one in EMAILS)


def test_an_email_with_a_letter_glued_on_before_other_signs_is_found() -> None:
    assert IN_BYTES(b"/" + EMAILS[0].encode() + b"S\xe7\xa4\xba")


NUMBERS = {"mobile": ["10000000001"], "resident_id": ["99010119900307123X"], "uscc": ["9J990000MA0000001X"]}
KNOWN, KNOWN_SIEVED = RawValues(), SievedValues()
for number_kind, numbers in NUMBERS.items():
    KNOWN.add(number_kind, numbers)
    KNOWN_SIEVED.add(number_kind, numbers)
NUMBERS_QUICKLY, NUMBERS_SLOWLY = SievedBytesSearch(KNOWN_SIEVED), BytesSearch(KNOWN)
SIGNS = [
    *(one for some in NUMBERS.values() for one in some),
    "1",
    "0" * 9,
    "1000000",
    "0001",
    "99010119900307123",
    "x",
    "X",
    "A",
    " ",
    "\0",
    "示",
]


@given(st.lists(st.sampled_from(SIGNS), max_size=9).map("".join))
@example("id99010119900307123x1")
def test_numbers_in_bytes_are_those_found_one_by_one(text: str) -> None:
    assert NUMBERS_QUICKLY(text.encode()) == NUMBERS_SLOWLY(text.encode())
