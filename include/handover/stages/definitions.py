"""Definitions: what the objects of the schemas must look like in a database of a given major version.

A server writes views, checks and policies back from its own parse tree, and versions differ in how they do.
A target of another major version than the source's is therefore compared with the scratch database of the
restore test: its objects were made from the backup alone, by a server of the target's version.
"""

from __future__ import annotations

from contextlib import closing

from handover.model.backup import BackupIndex, ObjectRef
from handover.postgres.schema import SchemaEntry, compare_entries, compare_names
from handover.postgres.session import connect, database_errors, major_version
from handover.stages.context import Context
from handover.stages.inventory import dump_definitions, schema_entries


def compare_definitions(context: Context, index: BackupIndex, url: str) -> list[str]:
    """Return a line for each object that is missing, too many or, where versions allow, defined otherwise.

    Where ``by_name_alone`` says so, only names are compared.
    """
    found = schema_entries(context, dump_definitions(context, url))
    expected = _as_backed_up(context, index)
    major = _major(url)
    if major == index.state.major:
        return compare_entries(expected, found)
    reference = _as_written_by(context, index, major)
    return compare_entries(reference, found) if reference else compare_names(expected, found)


def by_name_alone(context: Context, index: BackupIndex, url: str) -> bool:
    """Say whether definitions cannot be compared there: another version, and none like it in this ledger."""
    major = _major(url)
    return major != index.state.major and not _as_written_by(context, index, major)


def keep_definitions(context: Context, index: BackupIndex, url: str) -> dict[str, object]:
    """Keep how the scratch database's server writes the definitions, when that is not the source's way.

    Returns what the ledger shall say of it: nothing when the versions are the same.
    """
    major = _major(url)
    if major == index.state.major:
        return {}
    label = context.label(index.state.generation, _kind(major))
    for name in context.store.list(f"{context.folder(index.state.generation)}/{label.kind}-"):
        context.store.delete(name)  # of an attempt that was killed before its entry
    archive = dump_definitions(context, url)
    stored = context.put(label, archive, label.kind)
    return {"definitions": {"major": major, "object": stored.document()}}


def kept_definitions(context: Context) -> list[tuple[int, ObjectRef]]:
    """Return major version and vault object of everything that ``keep_definitions`` kept for this run."""
    found = [e.body["definitions"] for e in context.entries("restore-tested") if "definitions" in e.body]
    return [(int(kept["major"]), ObjectRef.model_validate(kept["object"])) for kept in found]


def _kind(major: int) -> str:
    return f"schema-of-{major}"


def _major(url: str) -> int:
    with database_errors("asking for the version"), closing(connect(url, read_only=True)) as connection:
        return major_version(connection)


def _as_backed_up(context: Context, index: BackupIndex) -> list[SchemaEntry]:
    label = context.label(index.state.generation, "schema")
    return schema_entries(context, context.get(label, index.state.schema_object))


def _as_written_by(context: Context, index: BackupIndex, major: int) -> list[SchemaEntry]:
    label = context.label(index.state.generation, _kind(major))
    for kept, reference in kept_definitions(context):
        if kept == major:
            return schema_entries(context, context.get(label, reference))
    return []
