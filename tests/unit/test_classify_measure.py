"""The measurement holds its bars, says so, and turns red when a detector gets worse."""

import json

import pytest

from handover.classify import evidence, measure
from handover.classify.find import Mention, find
from handover.cli import main
from handover.model.kinds import KINDS, PROFILES, highest, levels_of


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set of a tenth: enough to see a detector that is broken."""
    monkeypatch.setattr(measure, "COLUMNS_EACH", 2)
    monkeypatch.setattr(measure, "VALUES_EACH", 60)
    monkeypatch.setattr(measure, "TEXTS_EACH", 30)


def test_the_bars_are_held(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(measure, "COLUMNS_EACH", 4)
    monkeypatch.setattr(measure, "TEXTS_EACH", 100)
    assert main(["classify", "--measure", "--seed", "7"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("seed 7; held-out templates, hard negatives in brackets: 44 (19) of columns")
    assert said.endswith("good enough\n")
    assert "NOT" not in said


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(20))
def test_the_bars_are_held_at_full_size(seed: int) -> None:
    assert measure.measure(seed).good_enough


def test_json_has_every_template_and_both_levels(small: None, capsys: pytest.CaptureFixture[str]) -> None:
    main(["classify", "--measure", "--seed", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert len(found["templates"]) == len(measure.COLUMNS) + len(measure.TEXTS)
    levels = {(total["level"], total["kind"]) for total in found["totals"]}
    assert levels == {(level, kind) for level in ("column", "mention") for kind in measure.MEASURED}
    assert all(total["expected"] > 0 for total in found["totals"])
    assert found["seed"] == 3


def test_the_same_seed_gives_the_same_result(small: None) -> None:
    assert measure.measure(5).document() == measure.measure(5).document()
    assert measure.measure(5).document() != measure.measure(6).document()


@pytest.mark.parametrize("blind", measure.MEASURED)
def test_a_blind_detector_is_seen(small: None, monkeypatch: pytest.MonkeyPatch, blind: str) -> None:
    """Every twentieth value missed is one too many."""
    kinds = {blind, "owner_uscc"} if blind == "uscc" else {blind}

    def worse(text: str) -> list[Mention]:
        found = find(text)
        return [m for m in found if m.kind not in kinds or sum(map(ord, text)) % 20]

    monkeypatch.setattr(measure, "find", worse)
    result = measure.measure(1)
    assert not result.good_enough
    assert result.totals()["mention", blind].recall < measure.LEAST_RECALL


def test_a_greedy_detector_is_seen(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(text: str) -> list[Mention]:
        return find(text) or [Mention("mobile", 0, len(text))]

    monkeypatch.setattr(measure, "find", greedy)
    monkeypatch.setattr(evidence, "find", greedy)
    totals = measure.measure(1).totals()
    assert totals["mention", "mobile"].precision < measure.LEAST_PRECISION
    assert totals["column", "mobile"].precision < measure.LEAST_PRECISION


def test_every_kind_has_levels_with_a_reason() -> None:
    assert all(kind.why and kind.chinese and kind.english for kind in KINDS.values())
    assert set(PROFILES) == set(KINDS["none"].levels.document())
    assert not KINDS["none"].personal
    for kind in ("resident_id", "bank_card", "biometric", "credential"):
        assert KINDS[kind].levels.pipl_sensitive
        assert KINDS[kind].levels.gbt43697 == 4


def test_what_contains_is_as_high_as_the_highest() -> None:
    levels = levels_of("free_text", ("mobile", "biometric", "resident_id"))
    assert levels == highest([KINDS["biometric"].levels, KINDS["resident_id"].levels])
    assert (levels.jrt0171, levels.gdpr) == ("C3", "special")


def test_measuring_wants_no_case_and_classifying_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["classify"]) == 1
    assert "classify needs a case" in capsys.readouterr().err
    assert main(["classify", "whole-database", "--rows", "0"]) == 1
    assert "--rows 0 samples nothing" in capsys.readouterr().err
