"""What the packs say of pseudonyms: every default is a strategy that fits some column, every kind has one."""

from collections.abc import Iterator

import pytest

from fixtures.matters import packs
from handover.model.kinds import KINDS
from handover.model.masking import Treatment
from handover.model.policy import Pack
from handover.pseudonymise.deciding import CLEAR, REDACT, strategy_of
from handover.pseudonymise.strategy import Room

TYPES = ("text", "character varying(20)", "character(18)", "character varying(12)", "character varying(11)",
         "character(8)", "uuid", "bigint", "integer", "numeric(20,0)", "date", "bytea")  # fmt: skip
STAND_ALONE = [pack for pack in packs() if pack.pack in ("cn-pipl", "gdpr")]


def defaults(pack: Pack) -> Iterator[tuple[str, Treatment]]:
    for name, rule in pack.pseudonyms.items():
        yield from ((name, treatment) for treatment in rule.treatments)


@pytest.mark.parametrize("pack", STAND_ALONE, ids=lambda pack: pack.pack)
def test_every_default_fits_some_column(pack: Pack) -> None:
    misfits = [
        (name, treatment)
        for name, treatment in defaults(pack)
        if treatment["strategy"] not in (CLEAR, REDACT)
        and all(strategy_of(treatment).fits(Room(kind, distinct=1000)) for kind in TYPES)
    ]
    assert misfits == []


@pytest.mark.parametrize("pack", STAND_ALONE, ids=lambda pack: pack.pack)
def test_every_kind_about_a_person_has_a_default_and_one_rule_alone(pack: Pack) -> None:
    treated = [kind for rule in pack.pseudonyms.values() for kind in rule.kinds]
    assert sorted(treated) == sorted({*treated})
    assert {*treated} == {kind for kind, said in KINDS.items() if said.personal} | {"uscc"}


# What identifies by itself may never be left as it is, nor in a way that other columns can be told from.
KEEPS_APART = {
    "internal_id": ("text", "uuid", "bigint", "integer", "character(8)"),
    "resident_id": ("text", "character(18)", "bigint"),
    "mobile": ("text", "character varying(11)", "bigint"),
    "bank_card": ("text", "character varying(20)", "numeric(20,0)"),
    "email": ("text", "character varying(64)"),
    "uscc": ("text", "character(18)"),
}


@pytest.mark.parametrize("pack", STAND_ALONE, ids=lambda pack: pack.pack)
@pytest.mark.parametrize("kind", KEEPS_APART)
def test_a_unique_column_of_a_usual_type_gets_different_pseudonyms(pack: Pack, kind: str) -> None:
    (rule,) = [one for one in pack.pseudonyms.values() if kind in one.kinds]
    for type_name in KEEPS_APART[kind]:
        room = Room(type_name, unique=True, nullable=False, distinct=2000)
        fitting = [one for one in rule.treatments if strategy_of(one).fits(room) is None]
        assert fitting, type_name
        assert strategy_of(fitting[0]).keeps in ("bijective", "collision_bounded")


@pytest.mark.parametrize("pack", STAND_ALONE, ids=lambda pack: pack.pack)
def test_thresholds_are_there_and_say_that_their_figures_were_not_read(pack: Pack) -> None:
    (rule,) = pack.reidentification.values()
    assert rule.thresholds.smallest_class >= 5 and rule.thresholds.diversity >= 2
    assert rule.basis.status == "K-low" and rule.basis.note
