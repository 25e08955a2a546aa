"""How far pseudonymised rows may tell whose they are: the thresholds of the policy; none is refused."""

from __future__ import annotations

from handover.errors import PolicyInvalid
from handover.law.packs import load_packs, select
from handover.model.masking import Thresholds
from handover.stages.context import Context
from handover.stages.facts import legal_day

_PSEUDONYMISED = "copy_pseudonymised"


def thresholds_of(context: Context) -> Thresholds | None:
    """Return what the case's policy allows, of every figure the strictest; None where no pack says it."""
    if not context.case.policy:
        return None
    packs = select(load_packs(context.settings.policies), context.case.policy, legal_day())
    found = [rule.thresholds for pack in packs for rule in pack.reidentification.values()]
    if not found:
        return None
    return Thresholds(
        smallest_class=max(one.smallest_class for one in found),
        diversity=max(one.diversity for one in found),
        record_risk=min(one.record_risk for one in found),
        unique_share=min(one.unique_share for one in found),
        at_risk_share=min(one.at_risk_share for one in found),
        mean_risk=min(one.mean_risk for one in found),
    )


def require_thresholds(context: Context) -> None:
    """Raise PolicyInvalid when rows are handed over pseudonymised and no pack of the policy says how far.

    A case without any policy is judged by nobody, here as at its gates, and the ledger says so.
    """
    masks = any(one.target == _PSEUDONYMISED for one in context.case.classes)
    if masks and context.case.policy and thresholds_of(context) is None:
        raise PolicyInvalid(
            f"case {context.case.case} hands rows over pseudonymised, and no pack of its policy says how far "
            "they may tell whose they are",
            hint="name a pack with thresholds under policy, such as cn-pipl, or write reidentification: in "
            "your own",
        )
