"""The one family of errors: Terminal fails now, Transient may be tried again.

A message is lowercase, without a full stop, and never holds a value of a row. ``data`` carries the
machine-readable parts (table, constraint, file …) and ``hint`` the remedy. The runbook in the README
has one entry for each concrete class.
"""

from __future__ import annotations


class HandoverError(Exception):
    """Base of everything that Handover raises on purpose."""

    def __init__(self, message: str, *, hint: str = "", **data: object) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.data = data

    def __str__(self) -> str:
        return f"{self.message}\nHINT: {self.hint}" if self.hint else self.message


class Terminal(HandoverError):
    """Trying again changes nothing: a person has to act first."""


class Transient(HandoverError):
    """The same step may succeed when it is tried again."""


class CaseInvalid(Terminal):
    """The case file is missing, unreadable or says something impossible."""


class SourceInvalid(Terminal):
    """The file of a registered source is missing, unreadable or says something impossible."""


class DataMapInvalid(Terminal):
    """The data map is missing, not confirmed, or says something impossible; line and field are named."""


class PolicyInvalid(Terminal):
    """A policy pack is missing, not in force, or says something impossible; line and field are named."""


class SubjectUnknown(Terminal):
    """Nobody in the source is the person who was named; what was said is not repeated."""


class SubjectUnclear(Terminal):
    """Several persons are meant; how many and in which tables is said, never the value."""


class GateBlocked(Terminal):
    """The law as the case's policy packs state it does not let the step happen; every gate is named."""


class ConfigurationMissing(Terminal):
    """A setting, connection or client program is not there; the message says where it was looked for."""


class PreflightFailed(Terminal):
    """Source or target cannot be used as the case says; all findings are collected in the message."""


class SchemaChanged(Terminal):
    """The source's schema is not the one that was planned."""


class ScopeChanged(Terminal):
    """The rows in scope, or their classes, are not those of the plan; tables and counts are named."""


class DataRefused(Terminal):
    """A database refused rows or an object: SQLSTATE, table and constraint are named, never the value."""


class VaultCorrupt(Terminal):
    """An object in the vault is missing, cut, changed, swapped or of another case."""


class KeyUnavailable(Terminal):
    """A key is not in the keyring, was destroyed, or does not open what it should."""


class LedgerRefused(Terminal):
    """The ledger does not accept or does not confirm an entry."""


class VerificationFailed(Terminal):
    """What was read back differs from what was backed up; the findings name table, key and column."""


class LateChanges(Terminal):
    """The source changed after it was backed up; table, key token and column are named."""


class EvidenceInvalid(Terminal):
    """An evidence folder does not verify; the findings name the file or entry."""


class AuditFailed(Terminal):
    """An audit found errors; the report names each with its owner and the day until which it is due."""


class Stopped(Terminal):
    """The case's stop flag is set."""


class NotReady(Terminal):
    """A step was started before the step that it rests on."""


class ConnectionLost(Transient):
    """A server went away, refused connections or ended the session."""


class Busy(Transient):
    """A lock, a slot or space was not to be had in time."""


class SnapshotLost(Transient):
    """The snapshot of this backup generation is gone; its files are void and a new generation starts."""
