"""Raw values as tokens, what counts as one, and the search in rows: forms that are found and near misses."""

import pickle
import tracemalloc

import pytest

from handover.risk.persons import Person, Persons
from handover.risk.raw_values import RawValues, canonical
from handover.risk.searching import Hit, Search

MOBILE, IDENTITY, CARD, EMAIL, CODE = (
    "13800138000",
    "11010519491231002X",
    "6222021234567890123",
    "San.Zhang@example.com",
    "91110105MA0012345X",
)


@pytest.fixture(scope="module")
def search() -> Search:
    """A search for one value of each kind and some broken ones."""
    values = RawValues()
    for kind, value in (("mobile", MOBILE), ("resident_id", IDENTITY), ("bank_card", CARD), ("email", EMAIL)):
        values.add(kind, [value])
    values.add("uscc", [CODE])
    values.add("passport", ["E12345678"])
    values.add("resident_id", ["11010519491231002A", "123456789012"])
    return Search(values)


def found_in(search: Search, text: str) -> list[Hit]:
    return search(f"1\tx\t{text}\t\n".encode())


@pytest.mark.parametrize(
    "kind, value, form",
    [
        ("mobile", "+86 138-0013-8000", MOBILE),
        ("mobile", "１３８００１３８０００", MOBILE),
        ("mobile", "013800138000", MOBILE),
        ("resident_id", "110105 19491231 002x", IDENTITY),
        ("resident_id", "11010519491231002A", "11010519491231002A"),
        ("uscc", "91 110105 ma0012345x", CODE),
        ("email", " San.Zhang@EXAMPLE.com ", EMAIL.lower()),
        ("mobile", "无", None),
        ("mobile", "12345", None),
        ("bank_card", "1" * 20, "1" * 20),
        ("bank_card", "1" * 25, None),
        ("uscc", "HELLOHELLOHELLO", None),
        ("phone", "+86 138 0013 8000", MOBILE),
        ("phone", "(010) 8765-4321", "01087654321"),
        ("passport", "E 1234 5678", "E12345678"),
        ("passport", "123456789", None),
        ("account_no", "A1234567", "A1234567"),
        ("account_no", "AB123456", None),
        ("plate", "京A12345", None),
        ("email", "none", None),
    ],
)
def test_values_have_one_form_or_cannot_be_searched_for(kind: str, value: str, form: str | None) -> None:
    assert canonical(kind, value) == (None if form is None else form.encode())


def test_what_cannot_be_searched_for_is_counted() -> None:
    values = RawValues()
    values.add("mobile", [MOBILE, "无", None, "", "123"])
    assert values.unsearchable == {"mobile": 2}


def test_values_dealt_out_to_parts_are_each_in_one_of_them_once() -> None:
    key, many = b"k" * 32, [f"138{n:08d}" for n in range(500)]
    parts = [RawValues(key, (number, 3)) for number in range(3)]
    for part in parts:
        part.add("mobile", [*many, *many, "无"])
        part.add("email", [EMAIL])
    assert sum(part.counts["mobile"] for part in parts) == len(many)
    assert sum(part.counts.get("email", 0) for part in parts) == 1
    assert all(part.counts["mobile"] > 100 and part.unsearchable == {"mobile": 1} for part in parts)
    forms = [one.encode() for one in many]
    found = [[kind == "mobile" for kind in part.kinds_of(forms)] for part in parts]
    assert [sum(one) for one in zip(*found, strict=True)] == [1] * len(many)


def test_the_values_are_held_as_tokens_alone() -> None:
    values = RawValues(b"k" * 32)
    values.add("mobile", [MOBILE])
    values.add("email", [EMAIL])
    held = pickle.dumps(values)
    assert MOBILE.encode() not in held and EMAIL.lower().encode() not in held
    assert values.token(MOBILE.encode()) != RawValues(b"l" * 32).token(MOBILE.encode())


@pytest.mark.parametrize(
    "text, kind",
    [
        (f"手机{MOBILE}。", "mobile"),
        ("8613800138000", "mobile"),
        ("(+86)138 0013 8000", "mobile"),
        ("138.0013.8000", "mobile"),
        ("1 3 8 0 0 1 3 8 0 0 0", "mobile"),
        ("138\u200b0013\u20118000", "mobile"),
        ("订单 7 13800138000 5", "mobile"),
        ("110105 1949 1231 002 X", "resident_id"),
        ("11010519491231002A", "resident_id"),
        ("编号123456789012", "resident_id"),
        ("6222 0212 3456 7890 123", "bank_card"),
        ("信用代码：91110105ma0012345x，", "uscc"),
        ("9111 0105 MA00 1234 5X", "uscc"),
        ("<san.zhang@EXAMPLE.COM>", "email"),
        ("'san.zhang@example.com'", "email"),
        ("邮箱san.zhang@example.com谢谢", "email"),
        ("a@b san.zhang@example.com.", "email"),
        ("护照e1234 5678，", "passport"),
    ],
)
def test_a_value_is_found_however_it_is_written(search: Search, text: str, kind: str) -> None:
    assert found_in(search, text) == [Hit(0, 2, kind)]


@pytest.mark.parametrize(
    "text",
    [
        "138001380001",
        "213800138000",
        "1380013.8000",
        "138 0013 80001",
        "11010519491231002",
        "11010519491231002XY",
        "91110105MA0012345",
        "X91110105MA0012345X",
        "an.zhang@example.com",
        "san.zhang@example.co",
        "13800\t138000",
        "13800\n138000",
        "",
    ],
)
def test_near_misses_are_none(search: Search, text: str) -> None:
    assert found_in(search, text) == []


def test_an_empty_search_finds_nothing() -> None:
    assert Search(RawValues())(f"{MOBILE}\t{EMAIL}\n".encode()) == []


def test_rows_and_columns_are_those_of_the_rows_given(search: Search) -> None:
    rows = f"，，\tａ\n{MOBILE}\t{EMAIL} {MOBILE}\n\t{CODE}\n".encode()
    assert search(rows) == [Hit(1, 0, "mobile"), Hit(1, 1, "email"), Hit(1, 1, "mobile"), Hit(2, 1, "uscc")]


def test_a_huge_value_needs_no_memory_of_many_times_its_size(search: Search) -> None:
    rows = b"12345678 " * 4_000_000 + MOBILE.encode() + b",\n"
    tracemalloc.start()
    assert search(rows) == [Hit(0, 0, "mobile")]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 9 * len(rows)


PERSONS = Persons(
    [
        Person("王小明", "1985-06-12", "示例省示例市文三路3号2单元"),
        Person("李四", "1990-01-02", None),
        Person("John Smith", "1970-12-31", None),
        Person("赵", "1990-01-02", "x"),
    ]
)


@pytest.mark.parametrize(
    "row, kind",
    [
        ("王小明\t1985-06-12", "birth_date + name"),
        ("客户王小明，1985年6月12日生\t", "birth_date + name"),
        ("王 小 明\t19850612", "birth_date + name"),
        ("x\t示例省 示例市，文三路3号2单元，1985/6/12", "address + birth_date"),
        ("王小明住示例省示例市文三路3号2单元\tx", "address + name"),
        ("Mr JOHN  SMITH\t1970.12.31", "birth_date + name"),
        ('{"a": "李四"}\t1990-01-02 00:00:00+00', "birth_date + name"),
    ],
)
def test_two_things_of_one_person_in_a_row_are_found(row: str, kind: str) -> None:
    assert [(hit.row, hit.kind) for hit in PERSONS(f"y\n{row}\n".encode())] == [(1, kind)]


def test_every_cell_of_every_person_is_told() -> None:
    row = "王小明\t1985-06-12\t李四，1990-01-02\t示例省示例市文三路3号2单元\tx\n"
    assert [(hit.column, hit.kind) for hit in sorted(PERSONS(row.encode()), key=lambda hit: hit.column)] == [
        (0, "address + birth_date + name"),
        (2, "birth_date + name"),
        (3, "address + birth_date + name"),
    ]


@pytest.mark.parametrize(
    "row",
    [
        "王小明\tx",
        "王小明\t1990-01-02",
        "李四\t1985-06-12",
        "王小\t明 1985-06-12",
        "王小明\n1985-06-12",
        "王小明\t319850612",
        "赵\t1990-01-02",
        "",
    ],
)
def test_one_thing_or_things_of_two_persons_are_none(row: str) -> None:
    assert PERSONS(f"{row}\n".encode()) == []
