"""What masking is to the law: gate P73 knows every strategy, and what needs a key is no anonymous form."""

from __future__ import annotations

from typing import get_args

from handover.law.facts import Transform
from handover.law.special import KEYED
from handover.pseudonymise.deciding import REDACT
from handover.pseudonymise.strategies import AnyStrategy
from handover.stages.facts import TRANSFORMS

_UNION, _ = get_args(AnyStrategy)
STRATEGIES = {one.model_fields["strategy"].default: one for one in get_args(_UNION)}


def test_every_strategy_is_known_to_the_law() -> None:
    assert set(TRANSFORMS) == {*STRATEGIES, REDACT}
    for kind in TRANSFORMS.values():
        Transform.model_validate({"kind": kind, "label": "de-identified"})


def test_what_needs_a_key_counts_as_keyed() -> None:
    keyed = {name for name, kind in TRANSFORMS.items() if kind in KEYED}
    assert keyed == {"token", "fpe", "permute", "choice", "shift", "noise", REDACT}
