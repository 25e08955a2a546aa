"""Whatever is drawn: pseudonyms are one to one, turn back, depend on value and key alone."""

import json
from random import Random

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.pseudonyms import domain_key, ff1, framed_mac
from handover.classify.find import find
from handover.classify.invented import Invented
from handover.pseudonymise import forms
from handover.pseudonymise.cells import Cells, Pieces
from handover.pseudonymise.domains import Domain
from handover.pseudonymise.ff1 import FF1
from handover.pseudonymise.integers import Integers, shuffled
from handover.pseudonymise.literals import is_document
from handover.pseudonymise.prf import prf, valid_rows
from handover.pseudonymise.redact import Treatments, redact_json, redact_text
from handover.pseudonymise.replacing import Fpe, Permute, Token
from handover.pseudonymise.strategy import Treated

KEYS = st.binary(min_size=32, max_size=32)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
COLUMNS = st.lists(st.none() | TEXTS | st.text("0123456789X", min_size=10, max_size=20), max_size=30)
WRITINGS = st.sampled_from(["exact", "text", "identity", "mobile", "code", "email", "plate"])
FORMS = st.sampled_from(["identity", "mobile", "card", "uscc", "plate", "digits", "alphanumeric"])


@st.composite
def matrices(draw: st.DrawFn) -> tuple[int, list[list[int]]]:
    """A radix and values of one length, large enough for the standard."""
    radix = draw(st.integers(2, 300) | st.integers(2, 65_536))
    least = max(2, next(n for n in range(1, 21) if radix**n >= 10**6))
    length = draw(st.integers(least, least + 20))
    row = st.lists(st.integers(0, radix - 1), min_size=length, max_size=length)
    return radix, draw(st.lists(row, min_size=1, max_size=4))


@settings(deadline=None, max_examples=150)
@given(drawn=matrices(), key=KEYS, tweak=st.binary(max_size=40))
def test_ff1_is_the_standards_and_turns_back(
    drawn: tuple[int, list[list[int]]], key: bytes, tweak: bytes
) -> None:
    radix, rows = drawn
    bulk = FF1(key, radix, tweak)
    made = bulk.encrypt(np.array(rows))
    assert made.tolist() == [ff1(key, radix, tweak, row) for row in rows]
    assert bulk.decrypt(made).tolist() == rows


@settings(deadline=None)
@given(size=st.integers(10**6, 2**63), key=KEYS, data=st.data())
def test_numbers_stay_in_their_range_and_turn_back(size: int, key: bytes, data: st.DataObject) -> None:
    numbers = np.array(data.draw(st.lists(st.integers(0, size - 1), unique=True, max_size=20)), np.uint64)
    permutation = Integers(key, size)
    made = permutation.encrypt(numbers)
    assert (made < size).all()
    assert len(np.unique(made)) == len(numbers)
    assert (permutation.decrypt(made) == numbers).all()


@given(size=st.integers(1, 3000), key=KEYS)
def test_a_table_holds_every_number_once(size: int, key: bytes) -> None:
    assert (np.sort(shuffled(key, size)) == np.arange(size)).all()


@given(values=COLUMNS, key=KEYS, start=st.integers(0, 5), stop=st.integers(0, 40))
def test_the_function_is_that_of_each_value_alone(
    values: list[str | None], key: bytes, start: int, stop: int
) -> None:
    cells = Cells.of(pa.array(values, pa.string())[start:stop])
    kept = [value for value in values[start:stop] if value is not None]
    made = [bytes(block) for block in prf(key, cells, valid_rows(cells))]
    assert made == [framed_mac(key, value.encode()) for value in kept]


@given(rows=st.lists(st.none() | st.text("abc", max_size=5), max_size=20), order=st.randoms())
def test_a_column_is_put_together_from_any_pieces(rows: list[str | None], order: Random) -> None:
    into = Pieces(len(rows))
    widths = sorted({len(text) for text in rows if text is not None})
    order.shuffle(widths)
    for width in widths:
        here = [place for place, text in enumerate(rows) if text is not None and len(text) == width]
        signs = "".join(str(rows[place]) for place in here).encode()
        into.put(np.array(here), np.frombuffer(signs, np.uint8).reshape(len(here), width))
    assert into.column().to_pylist() == rows


@settings(deadline=None)
@given(form=FORMS, realistic=st.booleans(), key=KEYS, data=st.data())
def test_forms_are_one_to_one_on_their_numbers(
    form: str, realistic: bool, key: bytes, data: st.DataObject
) -> None:
    for source, image in forms.spaces(form, realistic) if form not in ("digits", "alphanumeric") else ():
        places = data.draw(st.lists(st.integers(0, source.size - 1), unique=True, min_size=1, max_size=8))
        like = np.full((len(places), source.width), ord("1"), np.uint8)
        signs = source.unrank(np.array(places, np.uint64), like)
        disguise = forms.Disguise(key, source, image)
        made, good = disguise.apply(signs)
        assert good.all()
        assert len(np.unique(made, axis=0)) == len(places)
        assert image.rank(made)[1].all()
        back, known = disguise.undo(made)
        assert known.all()
        assert (back == signs).all()


@settings(deadline=None)
@given(values=COLUMNS, form=FORMS, writing=WRITINGS)
def test_any_text_goes_through_a_form(values: list[str | None], form: str, writing: str) -> None:
    key = domain_key("any", writing)
    column = pa.array(values, pa.string())
    strategy = Fpe(form=form, realistic=True)
    masked = strategy.apply(column, key)
    masked.column.validate(full=True)
    normal = key.domain.normal(column).to_pylist()
    made = masked.column.to_pylist()
    assert [text is None for text in made] == [value is None for value in values]
    pairs = {(a, b) for a, b in zip(normal, made, strict=True) if a is not None}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    back = strategy.reveal(masked.column, key).to_pylist()
    assert sum(text is not None for text in back) == masked.counts["masked"]
    assert all(text is None or text == value for text, value in zip(back, normal, strict=True))


@given(text=TEXTS, writing=WRITINGS)
def test_a_normal_value_is_normal(text: str, writing: str) -> None:
    domain = Domain(name="d", writing=writing)
    once = domain.normal(pa.array([text]))
    assert domain.normal(once).equals(once)


@settings(deadline=None)
@given(
    values=st.lists(st.none() | TEXTS | st.integers(-200, 200).map(str), max_size=20),
    low=st.integers(-100, 0),
    size=st.integers(2, 200),
)
def test_permuted_numbers_stay_in_their_range(values: list[str | None], low: int, size: int) -> None:
    strategy = Permute(low=low, high=low + size - 1)
    masked = strategy.apply(pa.array(values, pa.string()), domain_key())
    inside = {value for value in values if value and value.lstrip("-").isdecimal() and value.isascii()}
    inside = {value for value in inside if str(int(value)) == value and low <= int(value) < low + size}
    made = {a: b for a, b in zip(values, masked.column.to_pylist(), strict=True) if a is not None}
    assert all(low <= int(number) < low + size for number in made.values())
    assert len({made[value] for value in inside}) == len(inside)
    assert masked.counts["masked"] == sum(value in inside for value in values)


KINDS = st.sampled_from(["resident_id", "mobile", "bank_card", "email", "uscc"])
SIDES = st.sampled_from(["", "客户：", " tel ", "，手机", "。", "\n", " 已核实 ", "{", '"', "\\"])
TREATMENTS = Treatments({}, Treated(Token(), domain_key("all", "text")))


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    kinds=st.lists(KINDS, min_size=1, max_size=4),
    sides=st.lists(SIDES, min_size=5),
)
def test_nothing_that_was_found_is_left(seed: int, kinds: list[str], sides: list[str]) -> None:
    invented = Invented(seed)
    raw = [getattr(invented, kind)() for kind in kinds]
    text = sides[0] + "".join(f"{value} {side} " for value, side in zip(raw, sides[1:], strict=False))
    found = [text[mention.start : mention.end] for mention in find(text)]
    made = redact_text(pa.array([text]), TREATMENTS).column[0].as_py()
    assert not any(value in made for value in found)


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=12,
)


@settings(deadline=None, max_examples=60)
@given(document=documents, indent=st.sampled_from([None, 0, 2]), plain=st.booleans())
def test_a_redacted_document_is_a_document(document: object, indent: int | None, plain: bool) -> None:
    text = json.dumps(document, indent=indent, ensure_ascii=plain)
    masked = redact_json(pa.array([text]), TREATMENTS)
    made = masked.column[0].as_py()
    assert is_document(made)
    if masked.counts["clean"]:
        assert made == text
