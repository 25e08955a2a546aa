"""Lanes hold every group once; names made from what people type never lead out of a folder."""

import re
import tempfile
from pathlib import Path, PurePosixPath

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fixtures.runs import CASE
from handover.errors import CaseInvalid
from handover.model.case import Case, load_case, parse_case
from handover.model.plan import Group, _spread
from handover.stages.context import run_name

WEIGHTS = st.integers(1, 2**50)
TABLES = st.lists(st.tuples(st.integers(1, 5), WEIGHTS), max_size=30)


def groups_of(tables: list[tuple[int, int]]) -> list[Group]:
    return [
        Group(table=f"t{number}", number=part, weight=weight)
        for number, (parts, weight) in enumerate(tables)
        for part in range(parts)
    ]


@given(TABLES, st.integers(1, 64))
def test_every_group_is_in_exactly_one_lane_and_no_lane_is_empty(
    tables: list[tuple[int, int]], lanes: int
) -> None:
    groups = groups_of(tables)
    spread = _spread(groups, lanes)
    assert sorted((g.table, g.number) for lane in spread for g in lane) == sorted(
        (g.table, g.number) for g in groups
    )
    assert all(spread)
    assert len(spread) == min(lanes, len(groups))


@given(TABLES, st.integers(1, 64), st.randoms())
def test_lanes_do_not_hang_on_the_order_of_the_groups(
    tables: list[tuple[int, int]], lanes: int, random: object
) -> None:
    groups = groups_of(tables)
    shuffled = groups.copy()
    random.shuffle(shuffled)
    assert _spread(shuffled, lanes) == _spread(groups, lanes)


@given(TABLES, st.integers(1, 64))
def test_no_lane_waits_long_for_another(tables: list[tuple[int, int]], lanes: int) -> None:
    """The heaviest lane is never heavier than the lightest one by more than one group."""
    spread = _spread(groups_of(tables), lanes)
    loads = [sum(g.weight for g in lane) for lane in spread]
    lightest_of_all = min(loads, default=0) if len(spread) == lanes else 0
    heaviest = max((g.weight for lane in spread for g in lane), default=0)
    assert max(loads, default=0) <= lightest_of_all + heaviest


RUN_IDS = st.text(max_size=120) | st.text("aB1-_:+/. \\", max_size=12)
AIRFLOWS = st.builds("manual__{}T{}+00:00".format, st.dates(), st.times())


@given(st.lists(RUN_IDS | AIRFLOWS, unique=True, max_size=10))
def test_names_of_runs_are_fit_for_folders_and_distinct(run_ids: list[str]) -> None:
    names = [run_name(run_id) for run_id in run_ids]
    assert len(set(names)) == len(names)
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9-]{1,100}", name)
        assert PurePosixPath("vault", name).parent == PurePosixPath("vault")


@given(RUN_IDS | AIRFLOWS)
def test_the_name_of_a_run_stays_what_it_is(run_id: str) -> None:
    """The command line is given names, Airflow gives ids; both must find the same run."""
    assert run_name(run_name(run_id)) == run_name(run_id)


@given(
    st.text() | st.text("./\\a-\0\n", max_size=10) | st.sampled_from(["case.yaml", "..", "a/../a", "CASE"])
)
def test_a_case_id_cannot_leave_its_folder(case_id: str) -> None:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "cases"
        folder.mkdir()
        (Path(home) / "a.yaml").write_text("outside")
        with pytest.raises(CaseInvalid, match=r"is not valid|has no file") as caught:
            load_case(folder, case_id)
    assert "outside" not in str(caught.value)


YAML = st.text() | st.lists(
    st.sampled_from([*": ,[]{}&*!|>'\"%@`#-?\n\t", "a", "0x", "!!int", "<<", "\n  ", "2020-", "---"])
).map("".join)


@settings(deadline=None)
@given(YAML)
@example("!!int")  # once an IndexError of the parser
def test_any_text_is_a_case_or_refused(text: str) -> None:
    with pytest.raises(CaseInvalid):
        parse_case(text, Path("x.yaml"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.sampled_from(sorted(Case.model_fields)), VALUES)
def test_any_value_of_any_field_is_accepted_or_named(field: str, value: object) -> None:
    text = yaml.safe_dump({**CASE, field: value}, allow_unicode=True)
    try:
        case = parse_case(text, Path("test-transfer.yaml"))
    except CaseInvalid as error:
        assert field in str(error) or "not YAML" in str(error)
    else:
        assert Case.model_validate(case.document()) == case
