"""The bench's arithmetic: medians, ratios, sizes, what is written; the measuring itself needs servers."""

import json
from pathlib import Path

import pytest

from bench import peers
from bench.costs import Cost, Figure, compared, cost_table, merged, middle, table, total
from bench.engine import CHECKS, RECHECK, RESTORE_TEST, EngineRun
from bench.program import DEFAULT_GB, options, report, size_of, write
from bench.rounds import ENGINE, FIGURES, Runs, figures_beside
from bench.shapes import EVEN, SKEWED, WIDTHS, company, keyed, narrow, people, rows_for

MB = 1e6


def walls(*seconds: float) -> list[Cost]:
    return [Cost(wall=s, client=2 * s, server=3 * s) for s in seconds]


def test_costs_of_steps_add_up_and_a_run_leaves_its_restore_test_out() -> None:
    phases = {"backup": Cost(4, 3, 2), RESTORE_TEST: Cost(100, 100, 100), "verify": Cost(1, 2, 3)}
    assert EngineRun(phases).whole == Cost(5, 5, 5)
    assert EngineRun(phases).whole.cpu == 10
    assert total([]) == Cost()


def test_one_slow_round_does_not_move_the_median() -> None:
    assert middle(walls(1, 2, 900)) == Cost(2, 4, 6)
    assert middle(walls(1, 3)) == Cost(2, 4, 6)


def test_a_ratio_below_one_means_that_we_are_faster() -> None:
    figure = compared("engine_even_vs_dump_restore", walls(3, 4, 5), "peer", walls(8, 8, 1))
    assert figure == Figure("engine_even_vs_dump_restore", 4, "s", "peer", 0.5)


def test_every_peer_has_a_figure_of_its_own() -> None:
    assert set(FIGURES) == set(peers.PEERS)
    assert len(set(FIGURES.values())) == len(FIGURES)


def test_figures_of_a_database_name_only_peers_that_ran() -> None:
    runs = Runs([EngineRun({RESTORE_TEST: Cost(wall=7), CHECKS: Cost(wall=3), RECHECK: Cost(wall=2)})])
    for cost in walls(3, 5):
        runs.add(ENGINE, cost)
    runs.add(peers.DUMP_RESTORE, Cost(wall=8))
    assert list(figures_beside("even", runs)) == [
        Figure("engine_even_vs_dump_restore", 4, "s", peers.DUMP_RESTORE, 0.5),
        Figure("restore_test_even_s", 7, "s"),
        Figure("checks_even_s", 3, "s"),
        Figure("recheck_even_s", 2, "s"),
    ]


def test_the_table_shows_medians_range_ratio_and_processor_time() -> None:
    shown = cost_table({"engine": walls(2, 4, 3), "peer": walls(6)}, "peer").splitlines()
    assert shown[1].split() == ["engine", "3.0", "2.0-4.0", "0.50", "6.0", "9.0", "15.0"]
    assert shown[2].split() == ["peer", "6.0", "6.0-6.0", "1.00", "12.0", "18.0", "30.0"]
    assert cost_table({"engine": walls(2)}, None).splitlines()[1].split()[3] == "-"


def test_columns_are_aligned() -> None:
    assert table(["", "s"], [["a", "1"], ["long", "22"]]) == "       s\na      1\nlong  22"


@pytest.mark.parametrize("weights", [EVEN, SKEWED])
def test_rows_make_the_size_that_was_asked_for(weights: dict[str, float]) -> None:
    rows = rows_for(weights, 100 * MB)
    made = {name: count * WIDTHS[name] for name, count in rows.items()}
    assert sum(made.values()) == pytest.approx(100 * MB, rel=0.001)
    assert made["repayment"] / made["loan"] == pytest.approx(weights["repayment"], rel=0.001)


def test_one_table_dominates_the_skewed_database_and_none_the_even_one() -> None:
    share = {n: w / sum(SKEWED.values()) for n, w in SKEWED.items()}
    assert max(share.values()) > 0.85
    assert len(set(EVEN.values())) == 1


@pytest.mark.parametrize(
    "shape", [company("even", EVEN, MB), keyed("serial", MB), keyed("uuid", MB), narrow(9), people(MB)]
)
def test_every_number_of_a_script_is_filled_in(shape: object) -> None:
    script = vars(shape)["script"]
    assert "CREATE SCHEMA bench" in script
    assert "{" not in script


def test_both_kinds_of_key_carry_the_same_rows() -> None:
    serial, uuid = keyed("serial", MB).script, keyed("uuid", MB).script
    same = serial.replace("bigint NOT NULL", "uuid NOT NULL").replace(
        "SELECT i,", "SELECT gen_random_uuid(),"
    )
    assert same == uuid


def test_size_comes_from_gigabytes_or_rows() -> None:
    assert size_of(options([])) == DEFAULT_GB * 1e9
    assert DEFAULT_GB >= 1.5
    rows = rows_for(EVEN, size_of(options(["--rows", "100000"])))
    assert sum(rows.values()) == pytest.approx(100_000, rel=0.001)


@pytest.mark.parametrize(
    "given", [["--rounds", "0"], ["--gb", "-1"], ["--rows", "-5"], ["--only", "nothing"]]
)
def test_impossible_options_are_refused(given: list[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        options(given)
    assert refused.value.code == 2


def test_new_figures_replace_old_ones_and_leave_the_others(tmp_path: Path) -> None:
    path = tmp_path / "state" / "bench.json"
    write(path, [Figure("a", 1, "s"), Figure("b", 2, "MB")])
    write(path, [Figure("a", 3, "s", "peer", 0.5)])
    assert sorted(json.loads(path.read_text()), key=lambda item: str(item["name"])) == [
        {"name": "a", "value": 3, "unit": "s", "peer": "peer", "ratio": 0.5},
        {"name": "b", "value": 2, "unit": "MB", "peer": None, "ratio": None},
    ]
    assert [item["name"] for item in merged([{"name": "x"}], [])] == ["x"]


def test_the_report_names_figure_ratio_and_peer() -> None:
    shown = report([Figure("a", 1.25, "s", "pg_dump", 0.5), Figure("b", 80, "MB")]).splitlines()
    assert shown[1].split() == ["a", "1.2", "s", "0.50", "pg_dump"]
    assert shown[2].split() == ["b", "80.0", "MB"]


def test_a_peer_that_is_not_installed_is_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert peers.PGCOPYDB not in peers.available()
    (tmp_path / "pgcopydb").touch(mode=0o755)
    assert peers.PGCOPYDB in peers.available()
