"""Forms: a valid number becomes another valid number of nobody, one to one; whatever else is no number."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import stdnum.cn
from stdnum import luhn
from stdnum.cn import ric, uscc

from fixtures.pseudonyms import OTHER_CASE_KEY, domain_key
from handover.classify import numbers
from handover.classify.find import find
from handover.pseudonymise import forms, regions
from handover.pseudonymise.cells import Cells
from handover.pseudonymise.domains import Writing
from handover.pseudonymise.integers import LARGEST_SIZE
from handover.pseudonymise.replacing import Fpe
from handover.pseudonymise.spaces import Space
from handover.sample import people
from handover.sample.dice import Dice

DICE = Dice(7)
WRITINGS: dict[str, Writing] = {
    "identity": "identity",
    "mobile": "mobile",
    "card": "code",
    "uscc": "code",
    "plate": "plate",
    "email": "email",
    "digits": "code",
    "alphanumeric": "code",
}


def is_unassigned(text: str) -> bool:
    return text[2:4] in {*map(str, range(54, 90)), *map(str, range(91, 100))}


def is_plate(text: str) -> bool:
    return [mention.kind for mention in find(text)] == ["plate"]


def of_no_bank(text: str) -> bool:
    return luhn.is_valid(text) and text[0] in "178" and not numbers.is_card(text)


def cards(count: int) -> pa.Array:
    return people.card_numbers(DICE, np.arange(count))


def plates(count: int) -> pa.Array:
    signs = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"
    return pa.array(
        f"{'京沪粤'[n % 3]}{'ABJ'[n // 3 % 3]}{n % 10}{signs[n % 34]}{signs[n // 34 % 34]}{n // 1156:02d}"[:7]
        for n in range(count)
    )


def new_plates(count: int) -> pa.Array:
    return pa.array(f"京AD{n:05d}" if n % 2 else f"京A{n:05d}F" for n in range(count))


def identities(count: int) -> pa.Array:
    return people.identities(DICE, people.Role.CUSTOMER, np.arange(count)).numbers


def mobiles(count: int) -> pa.Array:
    return people.mobiles(DICE, people.Role.CUSTOMER, np.arange(count))


def credit_codes(count: int) -> pa.Array:
    return people.credit_codes(DICE, b"91", np.arange(count))


def emails(count: int) -> pa.Array:
    return people.emails(DICE, people.Role.CUSTOMER, np.arange(count))


# Strategy, the numbers that go in, what each that comes out must be.
EVERY: dict[str, tuple[Fpe, Callable[[int], pa.Array], Callable[[str], bool]]] = {
    "identity": (
        Fpe(form="identity"),
        identities,
        lambda text: numbers.is_resident_id(text) and is_unassigned(text),
    ),
    "identity, realistic": (
        Fpe(form="identity", realistic=True),
        identities,
        numbers.is_resident_id,
    ),
    "mobile, realistic": (Fpe(form="mobile", realistic=True), mobiles, numbers.is_mobile),
    "card": (Fpe(form="card"), cards, of_no_bank),
    "card, realistic": (Fpe(form="card", realistic=True), cards, luhn.is_valid),
    "uscc": (
        Fpe(form="uscc"),
        credit_codes,
        lambda text: numbers.is_credit_code(text) and text[:2] == "91" and is_unassigned(text[2:]),
    ),
    "uscc, realistic": (
        Fpe(form="uscc", realistic=True),
        credit_codes,
        lambda text: uscc.calc_check_digit(text[:17]) == text[17] and text[:2] == "91",
    ),
    "plate, realistic": (Fpe(form="plate", realistic=True), plates, lambda text: len(text) == 7),
    "new plate, realistic": (Fpe(form="plate", realistic=True), new_plates, is_plate),
    "email": (Fpe(form="email"), emails, lambda text: text.endswith("@example.invalid")),
    "digits": (Fpe(form="digits"), cards, lambda text: len(text) == 19 and text.isdigit()),
    "alphanumeric": (Fpe(form="alphanumeric"), credit_codes, lambda text: len(text) == 18 and text.isalnum()),
}
MANY, CAMPAIGN = 50_000, 1_000_000


def distinct_in_distinct_out(name: str, count: int) -> None:
    strategy, make, is_right = EVERY[name]
    column = make(count)
    known = len(column.unique())
    assert known > 0.4 * count
    key = domain_key("d", WRITINGS[strategy.form])
    masked = strategy.apply(column, key)
    assert masked.counts == {"masked": count, "null": 0, "fallback": 0}
    assert len(masked.column.unique()) == known
    made = masked.column.to_pylist()
    assert all(map(is_right, made))
    before = column.to_pylist()
    assert sum(a == b for a, b in zip(before, made, strict=True)) <= 2
    if strategy.form != "email":
        assert strategy.reveal(masked.column, key).equals(column)
    other = strategy.apply(column, domain_key("d", key.domain.writing, OTHER_CASE_KEY)).column
    assert sum(a == b for a, b in zip(made, other.to_pylist(), strict=True)) <= 2


@pytest.mark.parametrize("name", EVERY)
def test_distinct_numbers_become_distinct_valid_numbers(name: str) -> None:
    distinct_in_distinct_out(name, MANY // 10 if "plate" in name else MANY)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [name for name in EVERY if "plate" not in name])
def test_a_million_distinct_numbers_become_a_million(name: str) -> None:
    distinct_in_distinct_out(name, CAMPAIGN)


PAIRS = [
    pytest.param(source, image, id=f"{form}-{source.width}-{'realistic' if realistic else 'unassigned'}")
    for form in ("identity", "mobile", "card", "uscc", "plate")
    for realistic in (False, True)
    for source, image in forms.spaces(form, realistic)
]


@pytest.mark.parametrize("source, image", PAIRS)
def test_every_number_has_room_among_the_pseudonyms(source: Space, image: Space) -> None:
    assert source.width == image.width
    assert 10**6 <= source.size <= image.size <= LARGEST_SIZE


@pytest.mark.parametrize("source, image", PAIRS)
def test_places_and_numbers_answer_each_other(source: Space, image: Space) -> None:
    for space in (source, image):
        dice = np.random.default_rng(space.width)
        places = np.concatenate([[0, 1, space.size - 1], dice.integers(0, space.size, 5000)]).astype(
            np.uint64
        )
        like = np.full((len(places), space.width), ord("9"), np.uint8)
        like[:, 1] = ord("1")
        again, good = space.rank(space.unrank(places, like))
        assert good.all()
        assert (again == places).all()


@pytest.mark.parametrize("source, image", PAIRS)
def test_what_counts_as_valid_is_one_number_and_no_other(source: Space, image: Space) -> None:
    """Numbers with some signs changed: those still valid are written just as their place is."""
    for space in (source, image):
        dice = np.random.default_rng(space.width)
        places = dice.integers(0, space.size, 100_000, dtype=np.uint64)
        like = np.full((len(places), space.width), ord("1"), np.uint8)
        signs = space.unrank(places, like)
        for _ in range(3):
            column = dice.integers(0, space.width, len(signs))
            others = np.frombuffer(b"00112233456789XADFIOZ/:.@a\xe4\x00\xff", np.uint8)
            signs[np.arange(len(signs)), column] = dice.choice(others, len(signs))
        again, good = space.rank(signs)
        assert good.sum() > 10
        assert (again[good] < space.size).all()
        assert (space.unrank(again[good], signs[good]) == signs[good]).all()


@pytest.mark.parametrize("source, image", PAIRS)
def test_only_pseudonyms_have_a_number_behind_them(source: Space, image: Space) -> None:
    """There are more places for pseudonyms than numbers: a text in one that was never given is none."""
    places = np.random.default_rng(5).integers(0, image.size, 20_000, dtype=np.uint64)
    texts = image.unrank(places, np.full((len(places), image.width), ord("1"), np.uint8))
    disguise = forms.Disguise(b"k" * 32, source, image)
    numbers_behind, known = disguise.undo(texts)
    assert known.mean() == pytest.approx(source.size / image.size, abs=0.02)
    again, good = disguise.apply(numbers_behind)
    assert good.all()
    assert (again == texts[known]).all()


def test_a_disguise_that_cannot_keep_apart_is_refused() -> None:
    (wide, _), *_ = forms.spaces("identity", True)
    (narrow, _), *_ = forms.spaces("uscc", True)
    signs = Cells.of(credit_codes(1)).matrix(np.array([0]), 18)
    with pytest.raises(ValueError, match="cannot stay apart"):
        forms.Disguise(bytes(32), narrow, wide).apply(signs)


def broken(text: str) -> list[str]:
    wrong_digit = text[:-1] + ("1" if text[-1] != "1" else "2")
    return [wrong_digit, text[:-1], text + "0", "A" + text[1:], "", "汉字", "é", "0" * len(text), "\x00", "-"]


BROKEN = {
    "identity": [
        *broken("11990019900307891X"),
        *("119900199002300011", "119900209901010011", "119900189901010011", "995400199003078915"),
    ],
    "card": [*broken("6299991234567890128"), "7" * 16, "0000000000000000"],
    "uscc": [*broken("91119900000000001X"), "91IIII00000000001X", "911199000000000O1X"],
    "mobile": ["12345678901", "1234567890", "138000138000", "A3800138000", "", "汉字"],
    "plate": ["京I12345", "京A1234", "京AI2345", "龙A12345", "AAA12345", "京AD1234F", "京AA12345", ""],
    "digits": ["12345", "", "1234567a", "汉字汉字"],
    "alphanumeric": ["AB1", "ABCDEÉ", "汉字"],
    "email": ["no address", "@", "two@at@signs", ""],
}


@pytest.mark.parametrize("form", BROKEN)
def test_what_is_no_number_of_the_form_gets_a_token(form: str) -> None:
    strategy = Fpe(form=form, realistic=form in ("mobile", "plate"))
    key = domain_key("d", WRITINGS[form])
    values = BROKEN[form]
    masked = strategy.apply(pa.array([*values, None]), key)
    assert masked.counts == {"masked": 0, "null": 1, "fallback": len(values)}
    made = masked.column.to_pylist()
    assert made.pop() is None
    assert all(
        token.isalnum() and token.isascii() and token.islower() and token[0].isalpha() for token in made
    )
    assert not set(made) & set(values)
    normal = key.domain.normal(pa.array(values)).to_pylist()
    assert len(set(made)) == len(set(normal))  # equal ones are equal still, as parts of one domain


def test_numbers_of_all_lengths_and_issuers_are_cards() -> None:
    bodies = ["62" + "1" * n for n in (13, 14, 15, 16)] + ["4" + "2" * 14, "4" + "2" * 17, "51" + "3" * 13]
    bodies += ["3528" + "1" * 11, "37" + "1" * 12, "36" + "1" * 11, "2221" + "0" * 11, "9558" + "8" * 14]
    values = [body + luhn.calc_check_digit(body) for body in bodies]
    assert all(map(numbers.is_card, values))
    masked = Fpe(form="card").apply(pa.array(values), domain_key("d", "code"))
    assert masked.counts["fallback"] == 0
    assert [len(text) for text in masked.column.to_pylist()] == [len(value) for value in values]
    assert all(map(of_no_bank, masked.column.to_pylist()))


def test_kind_and_authority_of_a_credit_code_stay() -> None:
    values = pa.concat_arrays([people.credit_codes(DICE, kind, np.arange(3)) for kind in (b"91", b"92")])
    made = Fpe(form="uscc").apply(values, domain_key("d", "code")).column.to_pylist()
    assert [text[:2] for text in made] == ["91"] * 3 + ["92"] * 3
    assert numbers.is_personal_credit_code(made[3])


def listed_prefectures() -> set[int]:
    """Every prefecture of the list that python-stdnum carries, of all years."""
    path = Path(stdnum.cn.__file__).parent / "loc.dat"
    found, province = set(), 0
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("#") or not line:
            continue
        if line[0] != " ":
            province = int(line[:2])
        else:
            found.add(province * 100 + int(line.strip()[:2]))
    return found


def test_regions_are_those_of_the_list_and_pseudonyms_lie_in_none() -> None:
    listed = listed_prefectures()
    assert len(listed) > 500
    assert listed <= set(regions.KNOWN_TO_PEOPLE.tolist())
    assert not listed & set(regions.UNASSIGNED.tolist())
    assert {code // 100 for code in regions.UNASSIGNED.tolist()} <= {int(code) for code in numbers.PROVINCES}


@pytest.mark.parametrize("year", [1900, 1999, 2000, 2024, 2049, 1899, 2050])
def test_a_birthday_is_a_day_of_the_calendar(year: int) -> None:
    """All ten thousand months and days: one too many, and two numbers would share a pseudonym."""
    bodies = [f"119900{year}{rest:04d}001" for rest in range(10_000)]
    column = pa.array([body + ric.calc_check_digit(body + "0") for body in bodies])
    days = set(map(str, np.arange(f"{year}-01-01", f"{year + 1}-01-01", dtype="datetime64[D]")))
    known = 1900 <= year <= 2049
    expected = [known and f"{body[6:10]}-{body[10:12]}-{body[12:14]}" in days for body in bodies]
    (space, _), *_ = forms.spaces("identity", False)
    _, good = space.rank(Cells.of(column).matrix(np.arange(10_000), 18))
    assert good.tolist() == expected


def test_all_birthdays_of_pseudonyms_are_of_grown_people() -> None:
    made = Fpe(form="identity").apply(identities(20_000), domain_key("d", "identity")).column.to_pylist()
    years = [int(text[6:10]) for text in made]
    assert (min(years), max(years)) == (1940, 2007)


PINNED = json.loads((Path(__file__).parent / "pseudonyms.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", EVERY)
def test_pinned(name: str) -> None:
    """Tables of prefixes, regions and days belong to the format: a case's pseudonyms outlive a release."""
    strategy, make, _ = EVERY[name]
    made = strategy.apply(make(2), domain_key("pinned", WRITINGS[strategy.form])).column.to_pylist()
    assert made == PINNED[name]
