"""What the law keeps goes into an archive that equals the backup row by row, and anything else is found."""

import hashlib
import json
import shutil
import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from fixtures.archived import (
    COMMENT,
    CONTACT,
    FILES,
    LOANS,
    OLD,
    ROWS,
    TRACES,
    apart,
    ending_company,
    open_ending,
)
from fixtures.clusters import databases
from fixtures.contents import contents
from fixtures.disposed import Disposing
from fixtures.runs import backed_up
from handover.archive import read as reading_program
from handover.archive.bag import PAYLOAD, TAG_MANIFEST, check_fixity
from handover.archive.rows import rows_of
from handover.archive.sealing import read_archive
from handover.errors import Busy, CaseInvalid, KeyUnavailable, NotReady, VaultCorrupt, VerificationFailed
from handover.local.clusters import Cluster
from handover.model.archive import Term
from handover.model.datamap import ColumnEntry, Contained
from handover.model.disposal import Disposal
from handover.model.kinds import KINDS
from handover.stages import archive_proof
from handover.stages.archive_proof import (
    abandon_archive,
    archive_faults,
    require_archive_verified,
    verify_archive,
)
from handover.stages.archive_terms import bag_of, begin, begun, keys_of, making_of, secrets_of
from handover.stages.archived_rows import ArchivedRows, identifies
from handover.stages.archiving import alone, archive_lane, prepare_archive, recorded_tables, seal_archive
from handover.stages.context import Context
from handover.stages.facts import legal_day
from handover.stages.restore_test import restore_test


@pytest.fixture(scope="module")
def company(
    cluster: Cluster, second_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Disposing]:
    """A runner whose source is filled."""
    with databases(cluster) as source, databases(second_cluster) as target:
        home = tmp_path_factory.mktemp("archiving")
        yield ending_company(home, cluster, second_cluster.programs, source, target)


@pytest.fixture(scope="module")
def kept(company: Disposing) -> Context:
    """A run with an archive that was read back, and was refused whatever came too early."""
    context = open_ending(company)
    backed_up(context)
    too_early(context, "not been proven by a restore", prepare_archive, seal_archive)
    too_early(context, "seal_archive has not been done", verify_archive)
    restore_test(context)
    too_early(context, "gates have not been passed", lambda one: archive_lane(one, 0))
    prepare_archive(context)
    archive_lane(context, 0)
    too_early(context, "tables are not archived, first s", seal_archive)
    assert archive_faults(context) == ["archive: not made"]
    assert lanes(context) == sum(ROWS.values()) == lanes(context), "a repeated step says the same"
    a_bag_that_is_not_ours_is_not_taken_over(context)
    digest = seal_archive(context)
    assert seal_archive(context) == digest
    assert archive_faults(context) == ["archive: not read back"]
    with pytest.raises(VerificationFailed, match="not read back"):
        require_archive_verified(context)
    verify_archive(context)
    require_archive_verified(context)
    return context


def too_early(context: Context, said: str, *steps: Callable[[Context], object]) -> None:
    """Steps are refused."""
    for step in steps:
        with pytest.raises(NotReady, match=said):
            step(context)


def a_bag_that_is_not_ours_is_not_taken_over(context: Context) -> None:
    bag_of(context).mkdir(parents=True)
    (bag_of(context) / "bagit.txt").write_text("of somebody else")
    with pytest.raises(VaultCorrupt, match="is not the archive that this run made"):
        seal_archive(context)
    assert context.entries("archive-sealed") == []
    shutil.rmtree(bag_of(context))


def lanes(context: Context) -> int:
    """Archive every lane's tables; returns the rows."""
    return sum(archive_lane(context, lane.number) for lane in context.plan().lanes)


def expected(context: Context) -> dict[str, list[bytes]]:
    """What must be in the archive, by table and term, read from the source by other means."""
    found = contents(context.source)
    rows = {
        "s.loan/1": [row for row in found["s.loan"] if int(row.split(b"\t")[0]) <= 4],
        "s.loan/2": [row for row in found["s.loan"] if 4 < int(row.split(b"\t")[0]) <= 7],
        # Without the generated column, and of persons in scope alone.
        "s.person/3": [
            row.rpartition(b"\t")[0] + b"\n" for row in found["s.person"] if int(row.split(b"\t")[0]) <= 7
        ],
        "s.visit/4": [row for row in found["s.visit"] if int(row.split(b"\t")[0]) <= 7],
    }
    return rows | {f"s.{name}/4": found[f"s.{name}"] for name in ("call_1", "call_2")}


def in_archive(context: Context) -> dict[str, list[bytes]]:
    """What is in the archive, by table and term, sorted."""
    bag, found = bag_of(context), {}
    archive = read_archive(bag)
    secrets = secrets_of(context, archive.terms)
    labels = {table.number: table.label for table in archive.tables}
    for part in archive.parts:
        text = b"".join(rows_of(bag / PAYLOAD / part.file, secrets))
        found[f"{labels[part.table]}/{part.term}"] = sorted(text.splitlines(keepends=True))
    return found


def test_the_archive_holds_exactly_what_the_law_keeps(kept: Context) -> None:
    assert in_archive(kept) == expected(kept)
    (sealed,) = kept.entries("archive-sealed")
    assert {one["term"]["row_class"]: one["rows"] for one in sealed.body["terms"]} == ROWS
    assert sealed.body["bag"] == "_archives/test-transfer/run-1"
    assert not making_of(kept).exists() and [path.name for path in bag_of(kept).parent.iterdir()] == ["run-1"]


def test_the_terms_are_the_laws(kept: Context) -> None:
    """A hold and a doubt leave a class without a date."""
    terms = {one.number: one.term for one in begun(kept).terms.terms}
    assert terms[OLD].destroy_from == date(2015, 1, 2)
    assert terms[LOANS].destroy_from == date(legal_day().year + 30, 1, 1)
    assert terms[FILES] == Term(row_class="files", destroy_from=None)
    assert terms[TRACES].destroy_from == date(2026, 1, 1)
    said = kept.entries("archive-begun")[0].body["decisions"]
    assert said["files"]["open_holds"] == ["litigation"]


def test_nothing_personal_lies_open(kept: Context) -> None:
    """Neither values nor comments are in the bag's bytes or in the ledger."""
    lines = "\n".join(kept.ledger.lines(kept.case.case))
    for word in (COMMENT, "privat", "13800138001"):
        assert word not in lines
        for path in bag_of(kept).rglob("*"):
            assert not path.is_file() or word.encode() not in path.read_bytes(), path


def test_the_program_in_the_bag_shows_what_the_keys_open(kept: Context) -> None:
    bag = bag_of(kept)
    archive = read_archive(bag)
    secrets = secrets_of(kept, archive.terms)
    term = next(one for one in archive.terms.terms if one.number == FILES)
    (part,) = archive.of_term(FILES)
    assert "privat 1" in shown(bag, part.file, secrets)
    skeleton = shown(bag, part.file, {term.other: secrets[term.other]})
    assert skeleton.splitlines()[0] == '"id","branch","touched"' and "privat" not in skeleton
    assert shown(bag, part.file, {term.identifying: secrets[term.identifying]}) == ""
    with pytest.raises(KeyUnavailable):
        list(rows_of(bag / PAYLOAD / part.file, {}))
    with reading_program.opened(bag / PAYLOAD / part.file, secrets) as file:
        assert isinstance(file, pq.ParquetFile) and file.metadata.num_rows == ROWS["files"]
        assert COMMENT in str(file.schema_arrow.field("name").metadata[b"column"].decode())
    assert CONTACT["office"] in (bag / "bag-info.txt").read_text()


def shown(bag: Path, file: str, secrets: dict[str, bytes]) -> str:
    """What the bag's own program prints."""
    keys = json.dumps({name: b64encode(key).decode() for name, key in secrets.items()})
    command = [sys.executable, str(bag / PAYLOAD / "read.py"), str(bag / PAYLOAD / file)]
    return subprocess.run(command, input=keys, capture_output=True, text=True, check=False).stdout


def without(context: Context, **changes: Any) -> Context:
    """A run that nobody opened, of the case with some fields changed."""
    return replace(context, run="another", case=context.case.model_copy(update=changes))


def test_without_a_keeper_no_key_is_made(kept: Context) -> None:
    nobody = without(kept, disposal=Disposal())
    with pytest.raises(CaseInvalid, match="nobody is named who keeps the archive"):
        begin(nobody)
    assert keys_of(nobody) == {}


def test_where_nothing_is_archived_there_is_no_archive(kept: Context) -> None:
    nothing = without(kept, classes=())
    assert (archive_lane(nothing, 0), seal_archive(nothing), archive_faults(nothing)) == (0, "", [])
    verify_archive(nothing)
    assert not bag_of(nothing).exists() and nothing.entries("archive-begun", "archive-sealed") == []


def test_a_table_that_another_process_archives_is_left_alone(kept: Context) -> None:
    table = kept.plan().tables[0]
    with (
        alone(kept, table.id, f"{table.label} is being archived"),
        pytest.raises(Busy, match="is being archived by another process"),
        alone(kept, table.id, f"{table.label} is being archived"),
    ):
        pass
    with alone(kept, table.id, f"{table.label} is being archived"):
        pass
    seal_archive(kept)


def test_what_is_wrong_with_the_archive_is_found(
    kept: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    a_damaged_file_is_named(apart(kept, tmp_path / "damaged"))
    a_forged_bag_is_found(apart(kept, tmp_path / "forged"))
    rows_that_are_not_the_backups_are_named(kept, monkeypatch)
    other_rows_than_those_recorded_are_named(kept, monkeypatch)
    a_row_in_no_class_stops(kept, monkeypatch)
    verify_archive(kept)
    assert archive_faults(kept) == []


def a_damaged_file_is_named(context: Context) -> None:
    (part,) = read_archive(bag_of(context)).of_term(FILES)
    path = bag_of(context) / PAYLOAD / part.file
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] + bytes([whole[-20] ^ 1]) + whole[-19:])
    with pytest.raises(VerificationFailed, match=f"{part.file} is changed"):
        verify_archive(context)
    assert archive_faults(context) == [f"archive: data/{part.file} is changed"]


# What another archive would hold, by what is done to the rows that are read back.
CHANGES: dict[str, tuple[Any, str]] = {
    "a row less": (lambda data: data.partition(b"\n")[2], "rows, 4 in the backup"),
    "a row more": (lambda data: data + b"9\t9\t9\n", "rows, 4 in the backup"),
    "another value": (lambda data: data.replace(b"100", b"101"), "as many rows, but not the same"),
    "another order": (
        lambda data: b"".join(reversed(data.splitlines(keepends=True))),
        "as many rows, but not the same",
    ),
}


def rows_that_are_not_the_backups_are_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for change, said in CHANGES.values():

        def wrong(path: Path, secrets: Any, change: Any = change) -> list[bytes]:
            data = b"".join(rows_of(path, secrets))
            return [change(data) if "loan/term-01" in str(path) else data]

        with monkeypatch.context() as patched:
            patched.setattr(archive_proof, "rows_of", wrong)
            with pytest.raises(VerificationFailed, match="s.loan, class old loans: .*" + said):
                verify_archive(context)
        assert "class old loans" in archive_faults(context)[0]


def other_rows_than_those_recorded_are_named(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's digest must hold for the day on which the backup is gone."""
    recorded = recorded_tables(context, 1)
    for table in recorded.values():
        table["parts"] = [one | {"digest": "00"} for one in table["parts"]]
    with monkeypatch.context() as patched:
        patched.setattr(archive_proof, "recorded_tables", lambda *_: recorded)
        with pytest.raises(VerificationFailed, match="other rows than the ledger says were archived"):
            verify_archive(context)


def a_row_in_no_class_stops(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count of what was approved, and of each chunk, is kept."""
    with monkeypatch.context() as patched:
        patched.setattr("handover.stages.classed_rows.rows_by_class", lambda *_: {"files": b""})
        with pytest.raises(VerificationFailed, match="rows in no class or in several"):
            verify_archive(context)
    with monkeypatch.context() as patched:
        patched.setattr(ArchivedRows, "sums", lambda *_: {})
        with pytest.raises(VerificationFailed, match="class files: 0 rows are archived, 7 were planned"):
            verify_archive(context)


def a_forged_bag_is_found(context: Context) -> None:
    """Somebody changes a file and writes the lists anew."""
    bag = bag_of(context)
    part = read_archive(bag).parts[0]
    (bag / PAYLOAD / part.file).write_bytes(bytes(part.bytes))
    replaced(bag / "manifest-sha256.txt", part.sha256, bag / PAYLOAD / part.file)
    manifest = next(
        line for line in (bag / TAG_MANIFEST).read_text().splitlines() if "  manifest-" in line
    ).split()[0]
    replaced(bag / TAG_MANIFEST, manifest, bag / "manifest-sha256.txt")
    assert check_fixity(bag) == (), "else the test forges badly"
    with pytest.raises(VerificationFailed, match=r"tagmanifest-sha256\.txt is changed"):
        verify_archive(context)


def replaced(listing: Path, digest: str, path: Path) -> None:
    """Write the digest of a file into a list, in place of the one that was there."""
    listing.write_text(listing.read_text().replace(digest, hashlib.sha256(path.read_bytes()).hexdigest()))


def test_an_archive_that_is_taken_back_is_gone(kept: Context, tmp_path: Path) -> None:
    gone = apart(kept, tmp_path)
    terms = begun(gone).terms
    assert len(secrets_of(gone, terms)) == 2 * len(ROWS)
    removed = abandon_archive(gone)
    assert [line for line in removed if line.startswith("vault")] == ["vault: run-1 of the archive"]
    assert secrets_of(gone, terms) == {} and not bag_of(gone).exists()
    abandon_archive(gone)
    assert len(gone.entries("key-destroyed")) == 2 * len(ROWS)


LEVELS = {"jrt0171": "C1", "pipl_sensitive": False, "gbt43697": 2, "gdpr": "personal"}


def entry(kind: str, **more: Any) -> ColumnEntry:
    return ColumnEntry.model_validate({"kind": kind, **LEVELS, **more})


def test_what_identifies_people() -> None:
    skeleton = {kind for kind in KINDS if not identifies(entry(kind))}
    assert skeleton == {"none", "uscc", "amount", "related", "internal_id"}
    assert identifies(None), "what nobody described"
    assert identifies(entry("related", risk="quasi"))
    assert identifies(entry("none", contains=[Contained(kind="mobile")]))
    assert not identifies(entry("none", contains=[Contained(kind="amount")]))


def test_the_index_says_what_a_reader_needs(kept: Context) -> None:
    archive = read_archive(bag_of(kept))
    loan = next(table for table in archive.tables if table.label == "s.loan")
    assert loan.key == ("id",)
    assert [(key.columns, key.table, key.references) for key in loan.foreign_keys] == [
        (("person_id",), "person", ("id",))
    ]
    calendar = json.loads((bag_of(kept) / PAYLOAD / "calendar.json").read_text())
    assert [one["class"] for one in calendar["terms"]] == ["old loans", "traces", "loans", "files"]
