"""Estimating: what a case will move, and what disk and time that takes, before anything is done."""

from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from handover.model.catalog import Finding, Server
from handover.model.estimate import Estimate, Footprint, check_vault_space, estimate
from handover.postgres.catalog import read_server
from handover.postgres.session import Connection, connect, database_errors
from handover.postgres.sizes import database_size, read_footprint
from handover.stages.context import Context


@dataclass(frozen=True)
class End:
    """One connection of a case: its field, what answers there, and the bytes of its database."""

    field: str
    server: Server
    size: int


@dataclass(frozen=True)
class Outlook:
    """What is known of a transfer before it begins; ``free`` are the bytes that the vault's folder has."""

    ends: tuple[End, ...]
    footprint: Footprint
    estimate: Estimate
    vault: Path
    free: int


def outlook(context: Context) -> Outlook:
    """Look at the three connections and at the vault's folder."""
    ends = tuple(
        _end(field, url)
        for field, url in (
            ("source", context.source),
            ("target", context.target),
            ("restore_test", context.scratch),
        )
        if url
    )
    with (
        database_errors("looking at the source's sizes"),
        closing(connect(context.source, read_only=True)) as source,
    ):
        footprint = _footprint(context, source)
    vault = context.settings.vault
    return Outlook(ends, footprint, estimate(footprint), vault, free_space(vault))


def check_space(context: Context, source: Connection) -> list[Finding]:
    """Return a finding when the vault will be too small; a run that has begun its backup is let go on."""
    vault = context.settings.vault
    needed = estimate(_footprint(context, source)).vault
    findings = check_vault_space(needed, free_space(vault), str(vault))
    return [] if findings and context.entries("snapshot-exported") else findings


def free_space(folder: Path) -> int:
    """Return the bytes that this account may still write there, also when the folder is not made yet."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def _footprint(context: Context, source: Connection) -> Footprint:
    wanted = context.case.source
    return read_footprint(source, wanted.schemas, wanted.large_objects)


def _end(field: str, url: str) -> End:
    with (
        database_errors(f"looking at {field}.connection"),
        closing(connect(url, read_only=True)) as connection,
    ):
        return End(field, read_server(connection), database_size(connection))
