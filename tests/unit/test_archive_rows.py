"""Archived rows: hidden without their keys, back as the same COPY text with them, each term alone."""

import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from fixtures.archives import (
    AMOUNTS,
    COMMENT,
    CUSTOMERS,
    HELD,
    LEDGER,
    LOANS,
    NAMES,
    ROWS,
    SECRETS,
    TERMS,
    VOUCHERS,
    column,
    file,
    make,
    term,
    without,
    write,
)
from handover.archive import encryption, rows
from handover.archive.bag import PAYLOAD
from handover.archive.columns import Layout
from handover.archive.finding import find_rows
from handover.archive.rows import rows_of, write_table
from handover.archive.selecting import Match, described_in, selected_rows
from handover.errors import ConfigurationMissing, DataRefused, KeyUnavailable, VaultCorrupt
from handover.model.archive import ArchivedTable, ArchiveTerms, Term

SECRET_WORDS = [word.encode() for word in (*NAMES, *AMOUNTS, COMMENT)]


@pytest.fixture(scope="module")
def bag(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("archive"))[0]


def planted(folder: Path) -> list[str]:
    """Names of the files that hold a planted value."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if any(word in path.read_bytes() for word in SECRET_WORDS)]


def read_program(path: Path, secrets: dict[str, bytes], *arguments: str) -> subprocess.CompletedProcess[str]:
    keys = json.dumps({name: base64.b64encode(secret).decode() for name, secret in secrets.items()})
    program = path.parents[2] / "read.py"
    return subprocess.run(
        [sys.executable, "-I", program, path, *arguments],
        input=keys,
        capture_output=True,
        text=True,
        cwd=path.parents[2],
    )


def test_every_file_gives_its_rows_back(bag: Path) -> None:
    for table in (CUSTOMERS, LEDGER):
        for keys in TERMS.terms:
            wanted = b"".join(data for named, data in ROWS[table.label] if named == keys.term)
            if wanted:
                assert b"".join(rows_of(file(bag, table, keys), SECRETS)) == wanted


def test_no_planted_value_is_found_in_the_bag(bag: Path) -> None:
    assert planted(bag) == []


def test_the_search_finds_what_is_not_encrypted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "_properties", lambda *_: None)
    write(tmp_path, CUSTOMERS)
    assert planted(tmp_path) == ["term-02.parquet"] or set(planted(tmp_path)) == {
        "term-02.parquet",
        "term-03.parquet",
    }


def test_a_column_under_no_key_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow leaves a column that no key names as it is, so that a forgotten one must show."""
    names = Layout.names
    monkeypatch.setattr(
        Layout,
        "names",
        lambda self, *, identifying: [n for n in names(self, identifying=identifying) if n != "name"],
    )
    write(tmp_path, CUSTOMERS)
    assert "term-02.parquet" in planted(tmp_path)


@pytest.mark.parametrize(
    "name", ["a,b", "a;b", "a:b", " a", "a.b", "列 名", "", "a\nb", '"', "column_2", "😀"]
)
def test_a_column_of_any_name_is_encrypted_and_comes_back(tmp_path: Path, name: str) -> None:
    columns = (
        column(name, "text", identifying=True),
        column("column_1", "date"),
        column("column_1__text", "text"),
    )
    table = ArchivedTable(number=1, schema_name="s", name="t", columns=columns)
    data = f"{NAMES[0]}\tinfinity\t{AMOUNTS[0]}\n".encode()
    (part,) = write(tmp_path, table, [(LOANS.term, data)])
    path = tmp_path / "data" / part.file
    assert planted(tmp_path) == []
    assert list(rows_of(path, SECRETS)) == [data]
    with encryption.reading(path, without(LOANS.identifying)) as opened:
        skeleton = Layout.of(opened.schema_arrow).names(identifying=False)
        assert opened.read(columns=skeleton).num_columns == len(skeleton)


def test_no_statistics_are_kept_even_for_who_has_the_keys(bag: Path) -> None:
    with encryption.reading(file(bag, CUSTOMERS, LOANS), SECRETS) as opened:
        group = opened.metadata.row_group(0)
        columns = [group.column(n) for n in range(group.num_columns)]
        assert [column.is_stats_set for column in columns] == [False] * 6


def test_without_the_identifying_key_the_skeleton_stays_readable(bag: Path) -> None:
    found = find_rows(bag, without(LOANS.identifying), "s.customers", "id", "1")
    assert [row.values for row in found.rows] == [{"id": "1", "amount": AMOUNTS[0]}]
    assert found.rows[0].withheld == ("name", "born")
    with pytest.raises(KeyUnavailable, match="do not open"):
        list(rows_of(file(bag, CUSTOMERS, LOANS), without(LOANS.identifying)))


@pytest.mark.parametrize("destroyed", TERMS.terms, ids=lambda one: f"term-{one.number}")
def test_destroying_a_term_destroys_exactly_that_one(bag: Path, destroyed) -> None:
    secrets = without(destroyed.identifying, destroyed.other)
    for path in bag.rglob("*.parquet"):
        if path.name == f"term-{destroyed.number:02}.parquet":
            with pytest.raises(KeyUnavailable):
                list(rows_of(path, secrets))
            with pytest.raises(KeyUnavailable):
                list(rows_of(path, without(destroyed.other)))
        else:
            assert b"".join(rows_of(path, secrets))


@pytest.mark.parametrize("key", [LOANS.identifying, LOANS.other])
def test_another_key_under_the_same_name_opens_nothing(bag: Path, key: str) -> None:
    with pytest.raises(KeyUnavailable, match="do not open"):
        list(rows_of(file(bag, CUSTOMERS, LOANS), {**SECRETS, key: bytes(32)}))


def test_a_flipped_bit_never_changes_a_row(bag: Path, tmp_path: Path) -> None:
    """Few bits are never read (the first magic, second copies of metadata); fixity finds those as well."""
    path, damaged = file(bag, CUSTOMERS, LOANS), tmp_path / "damaged.parquet"
    whole, wanted = path.read_bytes(), list(rows_of(path, SECRETS))
    refused = 0
    for place in range(0, len(whole), 29):
        damaged.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert list(rows_of(damaged, SECRETS)) == wanted
        except (VaultCorrupt, KeyUnavailable):
            refused += 1
    assert refused > 0.95 * len(range(0, len(whole), 29))


def test_data_keys_are_long_and_a_damaged_one_is_refused(bag: Path, tmp_path: Path) -> None:
    whole, damaged = file(bag, CUSTOMERS, LOANS).read_bytes(), tmp_path / "damaged.parquet"
    found = re.search(rb'"wrappedDEK":"([^"]+)"', whole)
    assert len(base64.b64decode(found[1].replace(b"\\", b""))) == 256 // 8 + 8
    damaged.write_bytes(whole[: found.start(1)] + b"!" + whole[found.start(1) + 1 :])
    with pytest.raises(VaultCorrupt, match="damaged"):
        list(rows_of(damaged, SECRETS))


def test_a_cut_file_is_refused(bag: Path, tmp_path: Path) -> None:
    whole, cut = file(bag, CUSTOMERS, LOANS).read_bytes(), tmp_path / "cut.parquet"
    for size in (0, 3, len(whole) // 2, len(whole) - 1):
        cut.write_bytes(whole[:size])
        with pytest.raises(VaultCorrupt, match="damaged"):
            list(rows_of(cut, SECRETS))


def test_a_row_is_found_by_its_value_wherever_the_keys_reach(bag: Path) -> None:
    found = find_rows(bag, SECRETS, "s.customers", "name", NAMES[0])
    assert [row.values["id"] for row in found.rows] == ["1", "4"]
    assert found.closed == ()
    held = find_rows(bag, SECRETS, "s.customers", "name", "somebody\twith a tab").rows
    assert [(row.term, row.values["born"], row.values["amount"]) for row in held] == [
        (HELD.term, "0044-03-15 BC", "NaN")
    ]
    assert find_rows(bag, SECRETS, "s.customers", "amount", "-0.50").rows[0].values["born"] is None
    assert find_rows(bag, SECRETS, "s.customers", "name", "nobody").rows == ()
    assert NAMES[0] not in repr(found)


def test_files_in_which_nobody_could_look_are_named(bag: Path) -> None:
    found = find_rows(bag, without(LOANS.identifying, HELD.other), "s.customers", "name", NAMES[0])
    assert found.rows == ()
    assert found.closed == ("tables/001-customers/term-02.parquet", "tables/001-customers/term-03.parquet")


def test_a_file_in_the_place_of_another_is_refused(tmp_path: Path) -> None:
    bag, _ = make(tmp_path)
    file(bag, LEDGER, LOANS).replace(file(bag, CUSTOMERS, LOANS))
    with pytest.raises(VaultCorrupt, match="another table"):
        find_rows(bag, SECRETS, "s.customers", "id", "1")


@pytest.mark.parametrize("table, named", [("s.nothing", "id"), ("s.customers", "nothing")])
def test_what_is_not_in_the_archive_cannot_be_looked_for(bag: Path, table: str, named: str) -> None:
    with pytest.raises(DataRefused, match="no table"):
        find_rows(bag, SECRETS, table, named, "1")


def test_the_program_in_the_bag_prints_csv(bag: Path, tmp_path: Path) -> None:
    path = file(bag, CUSTOMERS, LOANS)
    done = read_program(path, SECRETS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        '"id","name","born","amount"',
        f'"1","{NAMES[0]}","1990-02-28","{AMOUNTS[0]}"',
        f'"2","{NAMES[1]}","infinity",',
        f'"4","{NAMES[0]}",,"-0.50"',
    ]
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps({name: base64.b64encode(key).decode() for name, key in SECRETS.items()}))
    assert read_program(path, {}, str(keys)).stdout == done.stdout


def test_the_program_shows_what_its_keys_reach(bag: Path) -> None:
    done = read_program(file(bag, CUSTOMERS, LOANS), dict(without(LOANS.identifying)))
    assert done.returncode == 0
    assert done.stdout.splitlines()[:2] == ['"id","amount"', f'"1","{AMOUNTS[0]}"']
    assert "left out: name, born" in done.stderr
    assert "KEYS.json" in read_program(file(bag, CUSTOMERS, LOANS), {}, "one", "too many").stderr
    refused = read_program(file(bag, CUSTOMERS, LOANS), dict(without(LOANS.other)))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "archive-o2" in refused.stderr


def test_plain_pyarrow_without_a_key_opens_nothing(bag: Path) -> None:
    with pytest.raises((OSError, pa.ArrowException)):
        pq.read_table(file(bag, LEDGER, VOUCHERS))


def test_a_table_without_columns_keeps_its_rows(tmp_path: Path) -> None:
    table = ArchivedTable(number=1, schema_name="s", name="none", columns=())
    (part,) = write(tmp_path, table, [(LOANS.term, b"\n\n"), (LOANS.term, b"\n")])
    assert part.rows == 3
    assert b"".join(rows_of(tmp_path / "data" / part.file, SECRETS)) == b"\n\n\n"


def test_a_table_without_rows_has_no_file(tmp_path: Path) -> None:
    assert write(tmp_path, CUSTOMERS, []) == ()


def test_a_table_begun_again_starts_anew(tmp_path: Path) -> None:
    write(tmp_path, CUSTOMERS)
    (part,) = write(tmp_path, CUSTOMERS, [(LOANS.term, b"9\tx\t\\N\t1.00\n")])
    assert b"".join(rows_of(tmp_path / "data" / part.file, SECRETS)) == b"9\tx\t\\N\t1.00\n"
    assert len(list(tmp_path.rglob("*.parquet"))) == 1


def test_many_small_pieces_become_few_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "GROUP_BYTES", 400)
    monkeypatch.setattr(rows, "BUFFER_BYTES", 700)
    pieces = [(keys.term, b"%d\t1.00\n" % n) for n in range(300) for keys in TERMS.terms]
    parts = write(tmp_path, LEDGER, pieces)
    assert [part.rows for part in parts] == [300] * 3
    for part in parts:
        path = tmp_path / "data" / part.file
        assert b"".join(rows_of(path, SECRETS)) == b"".join(b"%d\t1.00\n" % n for n in range(300))
        with encryption.reading(path, SECRETS) as opened:
            assert 5 <= opened.num_row_groups <= 20


def test_rows_that_are_not_of_the_table_are_refused_and_not_quoted(tmp_path: Path) -> None:
    for data in (
        b"1\tPLANTED\n",
        b"PLANTED\tx\t\\N\t1.00\n",
        b"1\t\xff\t\\N\t1.00\n",
        b"99999999999999999999\tx\t\\N\t1\n",
    ):
        with pytest.raises(VaultCorrupt) as caught:
            write(tmp_path, CUSTOMERS, [(LOANS.term, data)])
        assert "PLANTED" not in str(caught.value)
        assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_rows_of_a_term_without_keys_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataRefused, match="no keys for"):
        write(tmp_path, CUSTOMERS, [(Term(row_class="other", destroy_from=None), b"")])
    for secrets in (without(LOANS.other), {**SECRETS, LOANS.identifying: b"short"}):
        with pytest.raises(KeyUnavailable, match="was not handed over"):
            write_table(tmp_path, TERMS, CUSTOMERS, ROWS["s.customers"], secrets)


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigurationMissing, match="cannot be written"):
        write(tmp_path, CUSTOMERS)


@pytest.mark.parametrize(
    "one, what",
    [
        (term(1, "x", None), "number"),
        (term(9, VOUCHERS.term.row_class, VOUCHERS.term.destroy_from), "class and date"),
        (VOUCHERS.model_copy(update={"number": 9, "term": HELD.term}), "key"),
        (term(9, "x", None).model_copy(update={"other": "archive-i9"}), "key"),
    ],
)
def test_terms_share_nothing(one, what: str) -> None:
    with pytest.raises(ValidationError, match=f"share a {what}"):
        ArchiveTerms(case="c", terms=(VOUCHERS, one))


@pytest.mark.parametrize(
    ("matches", "expected"),
    [
        ([Match(("id",), ("1",))], [1]),
        ([Match(("id",), ("1",)), Match(("name",), (NAMES[1],))], [1, 2]),
        ([Match(("id", "name"), ("1", NAMES[1]))], []),
        ([Match(("born",))], [1, 2]),
        ([Match(("amount",))], [1, 4]),
        ([Match(("born",), ("infinity",))], [2]),
        ([Match(("id",), ("01",))], []),
        ([Match(())], [1, 2, 4]),
        ([], []),
    ],
)
def test_some_rows_come_out_as_they_are(tmp_path: Path, matches: list[Match], expected: list[int]) -> None:
    parts = {part.term: part for part in write(tmp_path, CUSTOMERS)}
    path = tmp_path / PAYLOAD / parts[LOANS.number].file
    every = b"".join(rows_of(path, SECRETS)).splitlines(keepends=True)
    found = b"".join(selected_rows(path, SECRETS, matches)).splitlines(keepends=True)
    assert found == [row for row in every if int(row.split(b"\t")[0]) in expected]
    assert described_in(path, SECRETS) == CUSTOMERS
    with pytest.raises(KeyUnavailable):
        list(selected_rows(path, {LOANS.other: SECRETS[LOANS.other]}, [Match(("id",), ("1",))]))
