"""The bag around an archive: any BagIt tool accepts it, and each damage is found and named."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

import bagit
import pytest
from pydantic import ValidationError

from fixtures.archives import CONTACT, CUSTOMERS, LEDGER, archive, make, write
from handover.archive.bag import Damage, check_fixity, make_bag
from handover.archive.sealing import read_archive, seal
from handover.errors import ConfigurationMissing, VaultCorrupt

PART = "data/tables/001-customers/term-02.parquet"


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, str]:
    return make(tmp_path)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rewrite(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_bagit_itself_accepts_it(made: tuple[Path, str]) -> None:
    bag = bagit.Bag(str(made[0]))
    bag.validate()
    assert bag.info["External-Identifier"] == "sample-case"
    assert bag.info["Bagging-Date"] == "2026-01-31"
    assert bag.info["Contact-Name"] == CONTACT.name
    assert bag.version_info == (1, 0)
    assert "Contact-Email" not in bag.info
    flip(made[0] / PART)
    with pytest.raises(bagit.BagValidationError):
        bag.validate()


def test_a_whole_bag_has_no_damage(made: tuple[Path, str]) -> None:
    bag, seal_digest = made
    assert check_fixity(bag) == check_fixity(bag, seal_digest) == ()
    names = {path.relative_to(bag).as_posix() for path in bag.rglob("*") if path.is_file()}
    assert names == {
        *("bagit.txt", "bag-info.txt", "manifest-sha256.txt", "tagmanifest-sha256.txt"),
        *(f"data/{n}" for n in ("archive.json", "index.html", "read.py", "calendar.ics", "calendar.json")),
        *("data/tables/001-customers/schema.json", "data/tables/002-lines-b/schema.json"),
        *(f"data/tables/001-customers/term-0{n}.parquet" for n in (2, 3)),
        *(f"data/tables/002-lines-b/term-0{n}.parquet" for n in (1, 2)),
    }
    for path in bag.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert not (bag.parent / "staging").exists()


DAMAGES: dict[str, tuple[Callable[[Path], object], set[Damage]]] = {
    "a changed file": (lambda bag: flip(bag / PART), {Damage(PART, "changed")}),
    "a missing file": (
        lambda bag: (bag / PART).unlink(),
        {Damage(PART, "missing"), Damage("bag-info.txt", "changed")},
    ),
    "an extra file": (
        lambda bag: (bag / "data/x").write_text("x"),
        {Damage("data/x", "extra"), Damage("bag-info.txt", "changed")},
    ),
    "an extra file beside the payload": (
        lambda bag: (bag / "x").write_text("x"),
        {Damage("x", "extra")},
    ),
    "a link in a file's place": (
        lambda bag: (
            (bag / PART).rename(bag.parent / "elsewhere"),
            (bag / PART).symlink_to(bag.parent / "elsewhere"),
        ),
        {Damage(PART, "changed"), Damage("bag-info.txt", "changed")},
    ),
    "a folder in a file's place": (
        lambda bag: ((bag / "data/read.py").unlink(), (bag / "data/read.py").mkdir()),
        {Damage("data/read.py", "missing"), Damage("bag-info.txt", "changed")},
    ),
    "another declaration": (
        lambda bag: rewrite(bag / "bagit.txt", "1.0", "1.1"),
        {Damage("bagit.txt", "changed")},
    ),
    "no declaration": (lambda bag: (bag / "bagit.txt").unlink(), {Damage("bagit.txt", "missing")}),
    "another contact": (
        lambda bag: rewrite(bag / "bag-info.txt", "sample-case", "other-case"),
        {Damage("bag-info.txt", "changed")},
    ),
    "a list that leads out of the bag": (
        lambda bag: rewrite(bag / "manifest-sha256.txt", "data/read.py", "data/../../x"),
        {
            Damage("manifest-sha256.txt", "changed"),
            Damage("data/read.py", "extra"),
        },
    ),
    "a list of lists that names a file of the payload": (
        lambda bag: rewrite(bag / "tagmanifest-sha256.txt", "  bagit.txt", "  data/read.py"),
        {Damage("tagmanifest-sha256.txt", "changed"), Damage("bagit.txt", "extra")},
    ),
    "no list of files": (
        lambda bag: [path.unlink() for path in bag.glob("manifest-*")],
        {Damage("manifest-sha256.txt", "missing")},
    ),
    "no list of lists": (
        lambda bag: (bag / "tagmanifest-sha256.txt").unlink(),
        {Damage("tagmanifest-sha256.txt", "missing")},
    ),
    "a list that is no text": (
        lambda bag: (bag / "tagmanifest-sha256.txt").write_bytes(b"\xff"),
        {Damage("tagmanifest-sha256.txt", "unreadable")},
    ),
}


@pytest.mark.parametrize("damage, wanted", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_named(
    made: tuple[Path, str], damage: Callable[[Path], object], wanted: set[Damage]
) -> None:
    damage(made[0])
    assert wanted <= set(check_fixity(made[0]))


def test_one_damage_is_not_named_as_others(made: tuple[Path, str]) -> None:
    flip(made[0] / PART)
    assert check_fixity(made[0]) == (Damage(PART, "changed"),)


def test_rewritten_lists_are_found_by_the_digest_kept_elsewhere(
    made: tuple[Path, str], tmp_path: Path
) -> None:
    bag, seal_digest = made
    flip(bag / PART)
    forged = bagit.Bag(str(bag))
    forged.save(manifests=True)
    bagit.Bag(str(bag)).validate()
    assert Damage("tagmanifest-sha256.txt", "changed") in check_fixity(bag, seal_digest)
    assert Damage("tagmanifest-sha256.txt", "changed") not in check_fixity(bag)


def test_odd_names_are_written_as_the_standard_says(tmp_path: Path) -> None:
    payload = tmp_path / "staging/data"
    payload.mkdir(parents=True)
    names = ["a%0Ab", "a\nb", "a\rb", "100%", "中文", "a b  c"]
    for name in names:
        (payload / name).write_text(name)
    digests = {name: bagit_digest(payload / name) for name in names}
    make_bag(tmp_path / "staging", tmp_path / "bag", {}, digests)
    assert check_fixity(tmp_path / "bag") == ()
    assert "data/a%250Ab\n" in (tmp_path / "bag/manifest-sha256.txt").read_text()


def bagit_digest(path: Path) -> str:
    (digest,) = bagit.generate_manifest_lines(str(path), ["sha256"])
    return digest[1]


def test_a_file_that_changed_since_it_was_written_stops_the_bag(tmp_path: Path) -> None:
    for number, harm in enumerate(
        (
            flip,
            Path.unlink,
            lambda path: (path.parent / "more").touch(),
            lambda path: (path.parents[3] / "x").touch(),
        )
    ):
        staging = tmp_path / f"staging-{number}"
        parts = [part for table in (CUSTOMERS, LEDGER) for part in write(staging, table)]
        harm(staging / PART)
        with pytest.raises(VaultCorrupt, match=r"1 files .* not those that were written"):
            seal(staging, tmp_path / "bag", archive(parts), CONTACT)
        assert not (tmp_path / "bag").exists()


def test_a_name_that_exists_is_never_replaced(made: tuple[Path, str], tmp_path: Path) -> None:
    parts = [part for table in (CUSTOMERS, LEDGER) for part in write(tmp_path / "staging", table)]
    with pytest.raises(VaultCorrupt, match="never replaced"):
        seal(tmp_path / "staging", made[0], archive(parts), CONTACT)


def test_a_killed_attempt_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def die(*_: object) -> None:
        raise Killed

    staging, bag = tmp_path / "staging", tmp_path / "bag"
    parts = [part for table in (CUSTOMERS, LEDGER) for part in write(staging, table)]
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", die)
        with pytest.raises(Killed):
            seal(staging, bag, archive(parts), CONTACT)
    assert not bag.exists()
    assert check_fixity(bag) != ()
    seal(staging, bag, archive(parts), CONTACT)
    assert check_fixity(bag) == ()


def test_what_the_system_refuses_is_said(tmp_path: Path) -> None:
    parts = [part for table in (CUSTOMERS, LEDGER) for part in write(tmp_path / "staging", table)]
    with pytest.raises(ConfigurationMissing, match="cannot be made"):
        seal(tmp_path / "staging", tmp_path / "no" / "folder", archive(parts), CONTACT)


def test_the_index_comes_back_without_comments(made: tuple[Path, str]) -> None:
    found = read_archive(made[0])
    parts = found.parts
    assert found == archive(parts).uncommented() != archive(parts)
    with pytest.raises(VaultCorrupt, match="can be read"):
        read_archive(made[0].parent)


@pytest.mark.parametrize(
    "change, said",
    [
        ({"tables": (CUSTOMERS, CUSTOMERS)}, "share a number or a name"),
        ({"tables": (CUSTOMERS,)}, "not in the archive"),
    ],
)
def test_an_index_that_contradicts_itself_is_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    parts = [part for table in (CUSTOMERS, LEDGER) for part in write(tmp_path, table)]
    with pytest.raises(ValidationError, match=said):
        archive(parts).model_copy(update=change)
    with pytest.raises(ValidationError, match="same table and term"):
        archive([*parts, parts[0]])


def test_a_line_of_the_bag_cannot_hold_another(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        CONTACT.model_copy(update={"name": "a\nContact-Email: b"})
    assert os.sep not in CUSTOMERS.folder.removeprefix("tables/")
