"""Pseudonyms of a case: one key for each domain, shared by all runs, tables and databases of the case."""

from __future__ import annotations

from collections.abc import Iterable

from handover.model.masking import MaskedColumn
from handover.pseudonymise.chunks import TableMask
from handover.stages.context import Context
from handover.vault.keyring import KeyInfo
from handover.vault.roots import Purpose


def key_name(case: str, domain: str) -> str:
    """Return the name of a domain's key in the keyring."""
    return f"{case}/{domain}"


def ensure_keys(context: Context, masked: Iterable[MaskedColumn]) -> None:
    """Make the keys of all domains unless they are there; raises KeyUnavailable for a destroyed one."""
    for domain in sorted({name for one in masked for name in one.domains}):
        context.ensure_key(Purpose.PSEUDONYM, key_name(context.case.case, domain))


def domain_key(context: Context, domain: str) -> bytes:
    """Return the key of a domain."""
    return context.keyring.key(context.ensure_key(Purpose.PSEUDONYM, key_name(context.case.case, domain)))


def domain_keys(context: Context) -> list[KeyInfo]:
    """Return every key of the case's domains that there ever was."""
    start = key_name(context.case.case, "")
    return [
        one
        for one in context.keyring.list()
        if one.purpose is Purpose.PSEUDONYM and one.case.startswith(start)
    ]


def mask_of(context: Context, columns: tuple[str, ...], masked: Iterable[MaskedColumn]) -> TableMask:
    """Return what replaces the masked columns of a table's rows."""
    return TableMask(columns, masked, lambda domain: domain_key(context, domain))
