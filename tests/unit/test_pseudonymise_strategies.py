"""Strategies: what becomes of each value, what is refused in planning, and that nothing stays as it was."""

from datetime import date

import pyarrow as pa
import pytest
from pydantic import ValidationError

from fixtures.pseudonyms import OTHER_CASE_KEY, domain_key
from handover.pseudonymise.blurring import Constant, Drop, Generalise, Mask, Noise, Null, Shift
from handover.pseudonymise.cells import Cells
from handover.pseudonymise.domains import WRITINGS, Domain
from handover.pseudonymise.replacing import Choice, Fpe, Permute, Token
from handover.pseudonymise.strategies import STRATEGIES
from handover.pseudonymise.strategy import Room, Strategy
from handover.pseudonymise.wholes import wholes

KEY = domain_key()


def text(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


def made(strategy: Strategy, *values: str | None, person: pa.Array | None = None) -> list[str | None]:
    column = strategy.apply(text(*values), KEY, person).column
    column.validate(full=True)
    assert column.type == pa.string()
    return list(column.to_pylist())


EVERY = [
    Token(),
    Token(output="uuid"),
    Token(output="integer", low=-5, high=10**12),
    *(Fpe(form=form) for form in ("identity", "card", "uscc", "email", "digits", "alphanumeric")),
    *(Fpe(form=form, realistic=True) for form in ("identity", "mobile", "card", "uscc", "plate")),
    Permute(high=9999),
    Permute(low=-(10**9), high=10**9),
    Permute(high=9999, width=4),
    Choice(),
    Choice(texts=("甲", "乙")),
    Mask(first=1, last=1),
    *(Generalise(to=to) for to in ("month", "year", "district", "bucket")),
    Generalise(to="age_band", on=date(2025, 1, 1)),
    Shift(),
    Noise(),
    Null(),
    Constant(value="-"),
    Drop(),
]
ODD = [
    *("", " ", "NULL", "\\N", "0", "-0", "007", "-1", "1e5", "NaN", "infinity", "2023-02-29", "0000-01-01"),
    *("2020-01-01 BC", "99999-01-01", "9" * 30, "汉", "😀", "\x00", "a\nb", "\u3000", "１２３", "é" * 300),
]


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_null_stays_null_rows_stay_rows_and_nothing_raises(strategy: Strategy) -> None:
    column = text(None, *ODD, None)
    people = text(*(str(row) for row in range(len(column))))
    masked = strategy.apply(column, KEY, people)
    masked.column.validate(full=True)
    assert len(masked.column) == len(column)
    assert masked.column[0].as_py() is masked.column[-1].as_py() is None
    assert masked.counts["null"] == 2
    assert sum(masked.counts.values()) == len(column)
    assert strategy.apply(column, KEY, people).column.equals(masked.column)
    part = strategy.apply(column[3:9], KEY, people[3:9]).column
    assert part.equals(masked.column[3:9])
    for nothing in (text(), text(None), text(None)[:0]):
        assert strategy.apply(nothing, KEY, nothing).column.equals(nothing)


@pytest.mark.parametrize("strategy", EVERY, ids=repr)
def test_it_reads_back_from_what_it_writes(strategy: Strategy) -> None:
    assert STRATEGIES.validate_python(strategy.document()) == strategy


@pytest.mark.parametrize("strategy", [one for one in EVERY if one.keeps == "lossy"], ids=repr)
def test_a_lossy_strategy_is_refused_for_a_unique_column(strategy: Strategy) -> None:
    refusal = strategy.fits(Room("text", unique=True))
    assert refusal == "values of a unique column would not stay different"


REFUSED = {
    "token too long": (Token(), Room("character varying(20)"), "needs 24 characters, the column holds 20"),
    "token for a number": (Token(), Room("bigint"), "makes text"),
    "token too short": (Token(length=6), Room("text"), "could share a pseudonym with a chance of 1"),
    "token for many": (Token(length=11), Room("text", distinct=10**8), "could share"),
    "uuid in a short text": (Token(output="uuid"), Room("character varying(35)"), "needs 36"),
    "integer too large": (Token(output="integer"), Room("integer"), "more than a column of type integer"),
    "integers too few": (Token(output="integer", high=10**9), Room("integer"), "could share"),
    "identity in 15": (Fpe(form="identity"), Room("character varying(15)"), "needs 18 characters"),
    "identity in a number": (Fpe(form="identity"), Room("numeric(18,0)"), "makes text"),
    "mobile": (Fpe(form="mobile"), Room("text"), "accept realistic pseudonyms by name"),
    "plate": (Fpe(form="plate"), Room("text"), "accept realistic pseudonyms by name"),
    "email in 30": (Fpe(form="email"), Room("character varying(30)"), "needs 36"),
    "fallback too long": (Fpe(form="digits"), Room("character varying(18)"), "needs 24"),
    "fallback too short": (
        Fpe(form="digits", fallback_length=6),
        Room("character varying(18)", unique=True),
        "could share",
    ),
    "permuted in smallint": (Permute(high=40_000), Room("smallint"), "more than a column of type smallint"),
    "permuted in a short number": (Permute(high=10**6), Room("numeric(6,0)"), "more than a column of type"),
    "permuted in a number with places": (Permute(high=99), Room("numeric(6,2)"), "makes text"),
    "card in 16": (Fpe(form="card"), Room("character varying(16)"), "needs 19"),
    "permuted with width": (Permute(high=99, width=4), Room("integer"), "makes text"),
    "permuted in a short text": (Permute(high=10**6), Room("character(6)"), "needs 7"),
    "choice too long": (Choice(texts=("甲", "乙丙")), Room("character(1)"), "needs 2"),
    "mask of a number": (Mask(), Room("integer"), "makes text"),
    "month of a number": (Generalise(to="month"), Room("integer"), "takes dates"),
    "band in a date": (Generalise(to="age_band", on=date(2025, 1, 1)), Room("date"), "makes text"),
    "bucket of dates": (Generalise(to="bucket"), Room("date"), "takes numbers"),
    "shift of a number": (Shift(), Room("numeric(10,2)"), "takes dates"),
    "noise of a flag": (Noise(), Room("boolean"), "takes numbers"),
    "null": (Null(), Room("text", nullable=False), "makes NULL"),
    "drop": (Drop(), Room("text", nullable=False), "makes NULL"),
    "constant": (Constant(value="示例"), Room("character(1)"), "needs 2 characters"),
}


@pytest.mark.parametrize("strategy, room, said", REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_refused_with_the_reason(strategy: Strategy, room: Room, said: str) -> None:
    assert said in (strategy.fits(room) or "")


FITS = [
    (Token(), Room("text", unique=True, distinct=10**9)),
    (Token(length=11), Room("character varying(11)")),
    (Token(output="uuid"), Room("uuid", unique=True)),
    (Token(output="integer"), Room("bigint")),
    (Fpe(form="identity"), Room("character(18)", unique=True)),
    (Fpe(form="mobile", realistic=True), Room("character varying(11)", unique=True)),
    (Fpe(form="digits", fallback_length=18), Room("character varying(18)", unique=True)),
    (Permute(high=32_767), Room("smallint", unique=True)),
    (Fpe(form="card", fallback_length=16), Room("character varying(16)")),
    (Permute(high=10**17), Room("numeric(18,0)", unique=True)),
    (Permute(high=10**17), Room("numeric")),
    (Permute(high=999, width=4), Room("character varying(4)", unique=True)),
    (Choice(), Room("character varying(3)")),
    (Generalise(to="year"), Room("timestamp(3) with time zone")),
    (Generalise(to="bucket"), Room("numeric(12,2)")),
    (Shift(), Room("timestamp without time zone")),
    (Noise(), Room("double precision")),
    (Null(), Room("jsonb")),
    (Constant(value="-"), Room("text", nullable=False)),
]


@pytest.mark.parametrize("strategy, room", FITS, ids=repr)
def test_what_fits_is_not_refused(strategy: Strategy, room: Room) -> None:
    assert strategy.fits(room) is None


@pytest.mark.parametrize(
    "document",
    [
        {"strategy": "hash"},
        {"strategy": "token", "length": 3},
        {"strategy": "token", "length": 25},
        {"strategy": "token", "output": "integer", "low": 5, "high": 5},
        {"strategy": "token", "output": "integer", "high": 2**57},
        {"strategy": "token", "salt": "x"},
        {"strategy": "fpe", "form": "passport"},
        {"strategy": "permute", "low": 9, "high": 3},
        {"strategy": "permute", "high": 10**18},
        {"strategy": "permute", "low": -3, "high": 9, "width": 2},
        {"strategy": "permute", "high": 1000, "width": 3},
        {"strategy": "generalise", "to": "age_band"},
        {"strategy": "generalise", "to": "month", "on": "2025-01-01"},
        {"strategy": "shift", "days": 0},
        {"strategy": "noise", "percent": 91},
        {"strategy": "mask", "sign": "**"},
    ],
    ids=str,
)
def test_an_impossible_strategy_is_not_accepted(document: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        STRATEGIES.validate_python(document)


WRITTEN_ALIKE = {
    "mobile": ["16112345678", "+8616112345678", "+86 161 1234 5678", "0086-161-1234-5678", "8616112345678",
               "（+86）16112345678", "１６１１２３４５６７８", " 16112345678\u200b"],
    "resident_id": ["11990019900307005X", "11990019900307005x", "119900 19900307 005X", "119900900307005"],
    "bank_card": ["6299991234567890128", "6299 9912 3456 7890 128", "6299-9912-3456-7890-128"],
    "email": ["lin.an@example.com", "Lin.An@Example.com", " lin.an@example.com "],
    "uscc": ["91119900MA0000000X", "91119900ma0000000x", "91119900 MA000000 0X"],
    "plate": ["京A12D45", "京a·12D45", "京A 12D45"],
    "person_name": ["林 示例", "林　示例", " 林  示例 "],
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN_ALIKE)
def test_differently_written_equal_values_get_equal_pseudonyms(kind: str) -> None:
    values = WRITTEN_ALIKE[kind]
    key = domain_key("alike", WRITINGS[kind])
    for strategy in (Token(), Choice()):
        assert len(strategy.apply(text(*values), key).column.unique()) == 1
        exact = strategy.apply(text(*values), domain_key("alike")).column.unique()
        assert len(exact) == len(values)


@pytest.mark.parametrize("writing", ["identity", "mobile", "code", "plate", "email", "text"])
def test_different_values_stay_different_when_written_alike(writing: str) -> None:
    values = [
        "a1",
        "a12",
        "á1",
        "a+1",
        "a/1",
        "b1",
        "1",
        "01",
        "16112345678",
        "16112345679",
        "+4916112345678",
    ]
    normal = Domain(name="d", writing=writing).normal(text(*values))
    assert len(normal.unique()) == len(values)
    assert Domain(name="d", writing=writing).normal(normal).equals(normal)


def test_equal_values_of_two_tables_join_and_unrelated_keys_do_not() -> None:
    customers, loans = text("c1", "c2", "c3"), text("c3", "c1", "c1", None)
    here, there = (Token().apply(column, KEY).column.to_pylist() for column in (customers, loans))
    assert there == [here[2], here[0], here[0], None]
    other = Token().apply(customers, domain_key(case_key=OTHER_CASE_KEY)).column.to_pylist()
    assert not set(here) & set(other)


def test_a_permutation_keeps_its_range_and_counts_what_is_outside() -> None:
    values = [str(number) for number in range(-50, 50)]
    masked = Permute(low=-50, high=49).apply(text(*values, "50", "x", "007", "-0"), KEY)
    assert masked.counts == {"masked": 100, "null": 0, "fallback": 4}
    numbers = masked.column.to_pylist()
    assert sorted(map(int, numbers[:100])) == list(range(-50, 50))
    assert all(-50 <= int(number) <= 49 for number in numbers[100:])
    codes = made(Permute(high=9999, width=4), *(f"{n:04d}" for n in range(10_000)))
    assert sorted(map(str, codes)) == [f"{n:04d}" for n in range(10_000)]


def test_whole_numbers_are_read_as_postgresql_writes_them() -> None:
    values = ["0", "-1", "9" * 18, "-" + "9" * 18, "9" * 19, "1" + "0" * 18, "00", "-0", "+1", "-", "1.0", ""]
    numbers, good = wholes(Cells.of(text(*values, None)))
    assert good.tolist() == [True] * 4 + [False] * 9
    assert numbers[:4].tolist() == [0, -1, 10**18 - 1, 1 - 10**18]
    assert wholes(Cells.of(text("007", "7", "-07", "0a7")), 3)[1].tolist() == [True, False, False, False]


def test_large_permutations_are_one_to_one() -> None:
    values = [str(number) for number in (*range(-500, 500), 10**17, -(10**17), 10**18 - 1, 1 - 10**18)]
    strategy = Permute(low=1 - 10**18, high=10**18 - 1)
    masked = strategy.apply(text(*values), KEY)
    assert masked.counts["fallback"] == 0
    assert len(masked.column.unique()) == len(values)
    assert all(
        str(int(number)) == number and abs(int(number)) < 10**18 for number in masked.column.to_pylist()
    )


def test_masks_by_characters() -> None:
    assert made(Mask(first=1), "欧阳示例", "林", "", None) == ["欧***", "*", "", None]
    assert made(Mask(first=3, last=4), "16112345678", "1611234", "16112345") == [
        "161****5678",
        "*******",
        "161*2345",
    ]
    assert made(Mask(last=4, sign="x"), "12345") == ["x2345"]


GENERALISED = {
    "month": (Generalise(to="month"), "1990-03-07", "1990-03-01"),
    "month of a timestamp": (Generalise(to="month"), "1990-12-31 23:59:59.123+08", "1990-12-01"),
    "year": (Generalise(to="year"), "2000-02-29", "2000-01-01"),
    "first year": (Generalise(to="year"), "0001-05-05", "0001-01-01"),
    "no day": (Generalise(to="year"), "1990-02-30", None),
    "the day after a month's last": (Generalise(to="year"), "1990-02-29", None),
    "infinity": (Generalise(to="year", fallback="1900-01-01"), "infinity", "1900-01-01"),
    "before Christ": (Generalise(to="month"), "0044-03-15 BC", None),
    "age": (Generalise(to="age_band", on=date(2025, 3, 7)), "1985-03-07", "40-49"),
    "age, the day before": (Generalise(to="age_band", on=date(2025, 3, 6)), "1985-03-07", "30-39"),
    "age by five": (Generalise(to="age_band", on=date(2025, 3, 6), width=5), "1985-03-07", "35-39"),
    "leap day": (Generalise(to="age_band", on=date(2024, 2, 28)), "2004-02-29", "10-19"),
    "district": (Generalise(to="district"), "广东省深圳市南山区示例路12号3栋", "广东省深圳市南山区"),
    "city": (Generalise(to="district"), "四川省成都市样本街5号", "四川省成都市"),
    "municipality": (Generalise(to="district"), "上海市徐汇区虚构巷7弄2室", "上海市徐汇区"),
    "region": (
        Generalise(to="district"),
        "新疆维吾尔自治区乌鲁木齐市示例路1号",
        "新疆维吾尔自治区乌鲁木齐市",
    ),
    "estate": (Generalise(to="district"), "四川省成都市示例路幸福小区3栋", "四川省成都市"),
    "street alone": (Generalise(to="district", fallback="未知"), "示例路12号", "未知"),
    "bucket": (Generalise(to="bucket", width=1000), "12345.67", "12000.00"),
    "bucket below zero": (Generalise(to="bucket", width=1000), "-0.01", "-1000.00"),
    "bucket of whole": (Generalise(to="bucket", width=50), "149", "100"),
    "no amount": (Generalise(to="bucket"), "NaN", None),
}


@pytest.mark.parametrize("strategy, value, expected", GENERALISED.values(), ids=GENERALISED)
def test_coarser_values(strategy: Generalise, value: str, expected: str | None) -> None:
    assert made(strategy, value) == [expected]


def test_a_persons_dates_move_together_and_no_date_stays() -> None:
    people = [f"p{number}" for number in range(400)]
    whose = text(*people, *people)
    column = text(*["2020-02-29 10:11:12.5+08"] * 400, *["2021-03-01"] * 400)
    moved = Shift(days=30).apply(column, KEY, whose).column.to_pylist()
    first, second = ([date.fromisoformat(day[:10]) for day in part] for part in (moved[:400], moved[400:]))
    assert {(b - a).days for a, b in zip(first, second, strict=True)} == {366}
    offsets = {(day - date(2020, 2, 29)).days for day in first}
    assert offsets == {*range(-30, 0), *range(1, 31)}
    assert {day[10:] for day in moved[:400]} == {" 10:11:12.5+08"}
    assert Shift(days=30).apply(column[:1], domain_key("another"), whose[:1]).column.to_pylist() != moved[:1]


def test_dates_without_a_person_or_beyond_the_calendar_are_not_kept() -> None:
    column = text("2020-01-01", "9999-12-31", "0001-01-01", "infinity", "2020-01-01")
    far = [Shift(days=1).apply(column, KEY, text(*[str(n)] * 4, None)).column.to_pylist() for n in range(20)]
    assert {row[4] for row in far} == {row[3] for row in far} == {None}
    assert {row[1] for row in far} == {None, "9999-12-30"}
    assert {row[2] for row in far} == {None, "0001-01-02"}
    assert Shift().apply(column, KEY).column.null_count == 5


def test_noise_keeps_sign_places_and_room() -> None:
    values = ["100.00", "-100.00", "0.50", "99999.99", "123456789012345", "1.5", "0", "0.00", "x", "1e5"]
    people = [str(number) for number in range(60)]
    for person in people:
        masked = Noise(percent=10).apply(text(*values), KEY, text(*[person] * len(values)))
        assert masked.counts["fallback"] == 2
        for old, new in zip(values[:8], masked.column.to_pylist()[:8], strict=True):
            assert new is not None
            assert len(new) <= len(old)
            assert abs(float(new) - float(old)) <= 0.1001 * abs(float(old)) + 0.5 / 10 ** len(
                old.partition(".")[2]
            )
            assert len(new.partition(".")[2]) == len(old.partition(".")[2])
    spread = {made(Noise(), "1000.00", person=text(person))[0] for person in people}
    assert len(spread) > 50
    assert min(map(float, map(str, spread))) < 950 and max(map(float, map(str, spread))) < 1100


def test_choices_come_from_the_list_and_are_equal_for_equal_values() -> None:
    names = made(Choice(texts=("甲", "乙", "丙")), "a", "b", "a", None, *map(str, range(100)))
    assert names[0] == names[2]
    assert set(names) == {"甲", "乙", "丙", None}
    invented = {name for name in made(Choice(), *map(str, range(500))) if name}
    assert all(len(name) == 3 for name in invented)
    assert len(invented) > 450


def test_constants_and_nothing() -> None:
    assert made(Constant(value="-"), "a", None, "") == ["-", None, "-"]
    assert made(Null(), "a", None) == made(Drop(), "a", None) == [None, None]


def test_strategies_say_what_they_keep_apart() -> None:
    assert {one.keeps for one in (Fpe(form="identity"), Permute(high=9))} == {"bijective"}
    assert {one.keeps for one in (Token(), Fpe(form="email"))} == {"collision_bounded"}
    assert {one.keeps for one in (Choice(), Mask(), Shift(), Noise(), Null(), Drop())} == {"lossy"}


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "名", "a" * 64])
def test_the_name_of_a_domain_is_a_short_word(name: str) -> None:
    with pytest.raises(ValidationError):
        Domain(name=name)
