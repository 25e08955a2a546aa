"""What a transfer will take, from sizes alone: bytes, disk and time, each by a stated assumption."""

from __future__ import annotations

from handover.model.base import Frozen
from handover.model.catalog import Finding

# Text packs to a quarter or a third, pictures and other packed values not at all.
VAULT_SHARE = 0.5
# A file in the vault takes a block or two however little is in it.
VAULT_BYTES_A_TABLE = 8192
# What a whole run reached, restore test included, on two cores that carried both servers as well.
BYTES_A_SECOND = 25_000_000
SECONDS_A_TABLE = 0.01


class Footprint(Frozen):
    """What the relations of a case take on the source's disk, in bytes; ``tables`` counts them."""

    tables: int
    rows: int
    indexes: int
    views: int
    large_objects: int

    @property
    def moved(self) -> int:
        """Return the bytes that travel: a row weighs about as much in a stream as on the disk."""
        return self.rows + self.large_objects

    @property
    def loaded(self) -> int:
        """Return the bytes that a copy takes once it is complete."""
        return self.rows + self.large_objects + self.indexes + self.views


class Estimate(Frozen):
    """Bytes of disk in the vault and in each of the two copies, and seconds of a whole run."""

    vault: int
    copy_bytes: int
    seconds: float


def estimate(found: Footprint) -> Estimate:
    """Return what moving these relations will take."""
    return Estimate(
        vault=round(found.moved * VAULT_SHARE) + found.tables * VAULT_BYTES_A_TABLE,
        copy_bytes=found.loaded,
        seconds=found.moved / BYTES_A_SECOND + found.tables * SECONDS_A_TABLE,
    )


def check_vault_space(needed: int, free: int, folder: str) -> list[Finding]:
    """Return a finding when the vault's folder has less space than the backup is expected to need."""
    if free >= needed:
        return []
    return [
        Finding(
            id="vault-space",
            message=f"the backup will need about {size_text(needed)}, "
            f"the vault's folder {folder} has {size_text(free)} free",
            remedy="set HANDOVER_VAULT to a folder with more space, or list vault-space under acknowledge",
            acknowledgeable=True,
        )
    ]


def size_text(size: int) -> str:
    """Return bytes for people, in decimal units."""
    amount, unit = float(size), "bytes"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "bytes" or amount >= 10 else f"{amount:.1f} {unit}"


def duration_text(seconds: float) -> str:
    """Return a duration for people, no more exact than an estimate is."""
    minutes = seconds / 60
    if minutes < 1:
        return "less than a minute"
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} hours"
