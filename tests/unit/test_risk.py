"""The re-identification test: figures by hand, what exceeds a threshold, and that no small count is shown."""

import json

import pandas as pd
import pyarrow as pa
import pytest

from handover.errors import DataMapInvalid
from handover.risk.classes import classes_counted, classes_in
from handover.risk.figures import RiskFigures, Thresholds, shown_share
from handover.risk.measuring import measure

WIDE = Thresholds(smallest_class=1, diversity=1, record_risk=1, unique_share=1, at_risk_share=1, mean_risk=1)
QUASI = ("sex", "born")


def frame(*classes: tuple[str | None, str | None, list[str | None]]) -> pd.DataFrame:
    """Records by class: sex, birth, and the sensitive value of each record."""
    rows = [(sex, born, illness) for sex, born, all_of in classes for illness in all_of]
    return pd.DataFrame(rows, columns=["sex", "born", "illness"])


TEN_AND_SIX = frame(("m", "1980", ["a", "b"] * 5), ("f", "1981", ["a"] * 6))


def figures(data: pd.DataFrame, limits: Thresholds = WIDE, **options: object) -> RiskFigures:
    return measure("s.t", QUASI, classes_in(data, QUASI, ["illness"], **options), limits)


def limits(**changed: float) -> Thresholds:
    return WIDE.model_copy(update=changed)


def test_figures_by_hand() -> None:
    found = figures(TEN_AND_SIX)
    assert (found.records, found.classes, found.smallest_class, found.unique_records) == (16, "<5", 6, 0)
    assert found.diversity == {"illness": 1}
    assert found.prosecutor.highest == round(1 / 6, 6)
    assert found.prosecutor.mean == found.marketer.mean == round(2 / 16, 6)
    assert found.passed and not found.population


def test_journalist_and_marketer_look_into_the_population() -> None:
    around = pd.concat([TEN_AND_SIX] * 4, ignore_index=True)
    found = figures(TEN_AND_SIX, population=around)
    assert found.population
    assert found.prosecutor.highest == round(1 / 6, 6)
    assert found.journalist.highest == round(1 / 24, 6)
    assert found.marketer.mean == round(2 / 64, 6)


def test_a_population_that_lacks_records_does_not_lower_the_risk() -> None:
    found = figures(TEN_AND_SIX, population=TEN_AND_SIX[TEN_AND_SIX.sex == "m"])
    assert found.journalist.highest == found.prosecutor.highest


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"smallest_class": 7}, "smallest class 6, at least 7"),
        ({"diversity": 2}, "illness: 1 distinct"),
        ({"record_risk": 0.15, "at_risk_share": 0.3}, "risk over 0.15: 0.375"),
        ({"mean_risk": 0.124}, "mean risk 0.125"),
    ],
)
def test_each_threshold_is_held(changed: dict[str, float], said: str) -> None:
    [line] = figures(TEN_AND_SIX, limits(**changed)).exceeded
    assert said in line


@pytest.mark.parametrize(
    "changed",
    [{"smallest_class": 6}, {"record_risk": 1 / 6}, {"at_risk_share": 6 / 16}, {"mean_risk": 0.125}],
)
def test_an_equal_figure_is_within(changed: dict[str, float]) -> None:
    assert figures(TEN_AND_SIX, limits(**changed)).passed


def test_unique_records_are_held_and_not_counted_for_the_reader() -> None:
    data = frame(("m", "1980", ["a"] * 20), ("f", "1981", ["b"]), ("f", "1982", ["b"]))
    found = figures(data, limits(unique_share=0.05))
    assert (found.smallest_class, found.unique_records, found.unique_share) == ("<5", "<5", "<0.227273")
    assert found.prosecutor.highest == ">0.2"
    assert "share of unique records <0.227273, at most 0.05" in found.exceeded


def test_no_value_and_no_small_count_is_in_the_document() -> None:
    data = frame(("secret-sex", "secret-year", ["secret-illness"] * 3), ("x", "y", ["z"] * 9))
    text = json.dumps(figures(data, limits(smallest_class=10, diversity=2)).document())
    assert "secret" not in text
    assert '"smallest_class": "<5"' in text and "class <5" in text and "class 3" not in text


def test_null_is_a_value_like_any_other() -> None:
    data = frame((None, "1980", ["a"] * 5), (None, None, [None] * 5), ("m", None, ["a", None] * 3))
    found = figures(data)
    assert (found.smallest_class, found.records) == (5, 16)
    assert found.diversity == {"illness": 1}


def test_whole_numbers_beside_null_do_not_fall_together() -> None:
    near = 2**53
    table = pa.table({"sex": pa.array([near] * 5 + [near + 1] * 5 + [None] * 5), "born": ["x"] * 15})
    classes = classes_in(table, QUASI)
    assert classes["records"].tolist() == [5] and classes["classes"].tolist() == [3]


def test_joined_tables_are_measured_as_given() -> None:
    persons = pd.DataFrame({"id": range(12), "sex": ["m"] * 12, "born": ["1980"] * 12})
    loans = pd.DataFrame({"id": range(12), "branch": ["a"] * 11 + ["b"]})
    alone = measure("persons", QUASI, classes_in(persons, QUASI), WIDE)
    quasi = (*QUASI, "branch")
    joined = measure("persons + loans", quasi, classes_in(persons.merge(loans, on="id"), quasi), WIDE)
    assert (alone.smallest_class, joined.smallest_class, joined.unique_records) == (12, "<5", "<5")


def test_what_a_database_counted_gives_the_same() -> None:
    counted = classes_counted([(10, 2, 1), (6, 1, 1)], ["illness"])
    assert measure("s.t", QUASI, counted, WIDE) == figures(TEN_AND_SIX)


def test_nothing_is_at_no_risk() -> None:
    found = figures(TEN_AND_SIX[:0], limits(smallest_class=10))
    assert found.passed and (found.records, found.smallest_class) == (0, 0)
    assert measure("s.t", QUASI, classes_counted([]), WIDE).records == 0


def test_an_unknown_column_and_no_column_are_refused() -> None:
    with pytest.raises(DataMapInvalid, match="are not there: height"):
        classes_in(TEN_AND_SIX, ["height"])
    with pytest.raises(DataMapInvalid, match="at least one"):
        classes_in(TEN_AND_SIX, [])


@pytest.mark.parametrize(
    "count, records, said",
    [(0, 100, 0), (4, 100, "<0.05"), (5, 100, 0.05), (97, 100, ">0.95"), (100, 100, 1)],
)
def test_a_share_tells_no_small_count(count: int, records: int, said: object) -> None:
    assert shown_share(count / records, records) == said
