"""The end of a case's pseudonym keys when it is closed: kept or destroyed, as the case says.

Keys belong to the case, not to a run: once they are destroyed no run of it makes the same pseudonyms again,
and none can be planned.
"""

from __future__ import annotations

from handover.evidence.report_pseudonyms import DESTROYED, KEPT
from handover.stages.context import Context
from handover.stages.pseudonyms import domain_keys, key_name


def settle_keys(context: Context) -> None:
    """Destroy the keys of all domains, or say that they were kept; safe to repeat, for complete runs."""
    keys = domain_keys(context)
    if not keys:
        return
    start = key_name(context.case.case, "")
    if context.case.pseudonyms.keys == "keep":
        kept = [{"domain": key.case.removeprefix(start), "key": key.key_id} for key in keys]
        _record(context, KEPT, {"keys": kept})
        return
    destroyed = [context.keyring.destroy(key.key_id) for key in keys]
    _record(
        context,
        DESTROYED,
        {
            "keys": [
                {
                    "domain": one.case.removeprefix(start),
                    "key": one.key_id,
                    "at": one.at,
                    "result": one.result,
                    "copies": list(one.copies),
                }
                for one in destroyed
            ]
        },
    )


def _record(context: Context, kind: str, body: dict[str, object]) -> None:
    """Write down what became of the keys, unless that was the last thing said of them."""
    said = context.entries(KEPT, DESTROYED)
    if not said or (said[-1].kind, said[-1].body) != (kind, body):
        context.record(kind, body)
