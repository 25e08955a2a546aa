"""Whatever is drawn: valid numbers are found, random digits are not claimed, shapes keep nothing."""

import json
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from handover.classify.columns import judge
from handover.classify.documents import by_path
from handover.classify.find import find
from handover.classify.invented import Invented
from handover.classify.propose import Proposal
from handover.classify.shapes import plain, shape
from handover.classify.writing import written
from handover.model.datamap import ColumnEntry, Contained, DataMap, DataSet, SubjectPath, parse_datamap
from handover.model.kinds import KINDS, levels_of
from handover.model.reconciliation import TableName

SEEDS = st.integers(0, 2**32)
MEASURED = st.sampled_from(["resident_id", "mobile", "bank_card", "email", "uscc"])


@given(seed=SEEDS, kind=MEASURED)
def test_each_valid_number_is_found_however_written(seed: int, kind: str) -> None:
    invented = Invented(seed)
    value = plain(invented.written(kind, getattr(invented, kind)()))
    assert [m.kind.removeprefix("owner_") for m in find(value)] == [kind]


@settings(max_examples=25)
@given(seed=SEEDS, kind=MEASURED)
def test_a_column_of_them_is_their_kind_without_any_name(seed: int, kind: str) -> None:
    invented = Invented(seed)
    values = [invented.written(kind, getattr(invented, kind)()) for _ in range(60)]
    assert str(judge("c1", "text", values).kind).removeprefix("owner_") == kind


@settings(max_examples=25)
@given(seed=SEEDS, length=st.integers(5, 24))
def test_random_digits_are_not_claimed(seed: int, length: int) -> None:
    invented = Invented(seed)
    values = [invented.digits(length) for _ in range(200)]
    found = judge("c1", "text", values)
    assert (found.kind, found.contains) == (None, ())


@given(st.text(max_size=80))
def test_any_text_can_be_searched_and_mentions_lie_inside_and_apart(text: str) -> None:
    normal = plain(text)
    end = 0
    for mention in find(normal):
        assert end <= mention.start < mention.end <= len(normal)
        end = mention.end


@given(st.text(max_size=80), st.text(max_size=80))
def test_a_shape_is_the_same_for_values_of_one_form(text: str, other: str) -> None:
    """So it cannot say which of them it was; in it stand signs of form alone."""
    assert set(shape(text)) <= set("9a汉· @.-/:…{}over 0123456789")
    digits = "".join(c for c in text if c in string.digits)
    assert shape(digits) == shape("7" * len(digits))


documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=12,
)


@given(st.lists(documents, max_size=4))
def test_every_scalar_of_a_document_stands_under_some_path(found: list[object]) -> None:
    def scalars(value: object) -> list[str]:
        if isinstance(value, dict):
            return [text for key, below in value.items() for text in (key, *scalars(below))]
        if isinstance(value, list):
            return [text for below in value for text in scalars(below)]
        return [] if value is None or isinstance(value, bool) else [str(value)]

    expected = sorted(text for document in found for text in scalars(document))
    paths = by_path([json.dumps(document) for document in found])
    assert sorted(text for texts in paths.values() for text in texts) == expected


names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)
entries = st.builds(
    lambda kind, inside, at: ColumnEntry(
        kind=kind,
        contains=tuple(Contained(kind=one, at=at) for one in inside),
        **levels_of(kind, tuple(inside)).document(),
    ),
    st.sampled_from(sorted(KINDS)),
    st.lists(st.sampled_from(sorted(KINDS)), max_size=2),
    names | st.just(""),
)
columns = st.dictionaries(names, entries, min_size=1, max_size=4)


@settings(max_examples=50)
@given(st.dictionaries(st.tuples(names, names), columns, min_size=1, max_size=2), names)
def test_a_written_proposal_reads_back_the_same(tables: dict, reason: str) -> None:
    """Whatever schemas call their tables and columns, and whatever stands in a comment."""
    labels = [f"{schema}.{table}" for schema, table in tables]
    if len(set(labels)) != len(labels):
        return
    datasets = tuple(
        DataSet(
            table=TableName(schema_name=schema, name=table),
            purpose="unknown",
            origin="unknown",
            subject=(SubjectPath(by=(next(iter(found)),)),),
            columns=found,
        )
        for (schema, table), found in tables.items()
    )
    datamap = DataMap(map="a-case", datasets=datasets)
    reasons = {d.table.label: {name: (reason,) for name in d.columns} for d in datasets}
    text = written(Proposal(datamap, reasons))
    assert parse_datamap(text, "a-case.yaml", "a-case") == datamap
