"""What a new proposal says otherwise than the confirmed data map: for a person to decide on."""

from __future__ import annotations

from dataclasses import dataclass

from handover.model.catalog import Catalog
from handover.model.datamap import ColumnEntry, DataMap, unmapped, vanished


@dataclass(frozen=True)
class Differences:
    """Tables and columns that the confirmed map lacks or has too many, and columns judged otherwise."""

    new: tuple[str, ...]
    gone: tuple[str, ...]
    changed: tuple[str, ...]

    @property
    def blocking(self) -> bool:
        """Say whether a run would be refused: something is there that nobody decided on."""
        return bool(self.new)

    def lines(self) -> list[str]:
        """Return one line for each."""
        return [
            *(f"new: {line}: not in the confirmed map" for line in self.new),
            *(f"gone: {line}: in the confirmed map, not in the source" for line in self.gone),
            *(f"changed: {line}" for line in self.changed),
        ]


def differences(confirmed: DataMap, proposed: DataMap, catalog: Catalog) -> Differences:
    """Compare the confirmed map with the source and with what was proposed from it."""
    before = {(dataset.table.label, name): entry for dataset, name, entry in confirmed.entries()}
    changed = []
    for dataset, name, entry in proposed.entries():
        known = before.get((dataset.table.label, name))
        if known and _said(known) != _said(entry):
            changed.append(
                f"column {dataset.table.label}.{name}: confirmed {_said(known)}, proposed {_said(entry)}"
            )
    return Differences(
        tuple(unmapped(confirmed, catalog)), tuple(vanished(confirmed, catalog)), tuple(changed)
    )


def _said(entry: ColumnEntry) -> str:
    inside = sorted({f"{part.kind}{' at ' + part.at if part.at else ''}" for part in entry.contains})
    levels = (
        f"{entry.jrt0171}/{'sensitive' if entry.pipl_sensitive else 'ordinary'}/{entry.gbt43697}/{entry.gdpr}"
    )
    return f"{entry.kind} ({levels})" + (f" containing {', '.join(inside)}" if inside else "")
