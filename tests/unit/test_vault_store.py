"""The vault's folder store: whole objects, never replaced, nothing outside its folder."""

import errno
import fcntl
import hashlib
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from handover.errors import Busy, ConfigurationMissing, VaultCorrupt
from handover.vault.files import refusal
from handover.vault.store import PARTIAL, FolderStore, StoredObject


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "vault")


def test_object_comes_back(store: FolderStore) -> None:
    stored = store.put("case/run/a.seg", b"content")
    assert stored == StoredObject("case/run/a.seg", 7, hashlib.sha256(b"content").hexdigest())
    assert store.get("case/run/a.seg") == b"content"
    assert store.size("case/run/a.seg") == 7


def test_empty_store_lists_nothing(store: FolderStore) -> None:
    assert list(store.list("")) == []
    assert store.remove_partial() == 0


def test_existing_name_is_refused_and_kept(store: FolderStore) -> None:
    store.put("a", b"first")
    with pytest.raises(VaultCorrupt, match="object a exists already"):
        store.put("a", b"second")
    assert store.get("a") == b"first"
    assert [path.name for path in store.root.iterdir()] == ["a"]


@pytest.mark.parametrize("operation", ["get", "size", "delete"])
def test_missing_object_is_named(store: FolderStore, operation: str) -> None:
    with pytest.raises(VaultCorrupt, match="object x/gone is missing"):
        getattr(store, operation)("x/gone")


def test_deleted_object_is_gone(store: FolderStore) -> None:
    store.put("a", b"1")
    store.delete("a")
    assert list(store.list("")) == []


def test_a_shared_object_lives_until_its_last_name_goes(store: FolderStore) -> None:
    store.put("one/a", b"content")
    assert store.share("one/a", "two/b")
    assert (store.root / "two/b").stat().st_ino == (store.root / "one/a").stat().st_ino
    assert (store.root / "two").stat().st_mode & 0o777 == 0o700
    store.delete("one/a")
    assert store.get("two/b") == b"content"
    assert not store.share("one/a", "two/c"), "it is gone"
    store.put("one/a", b"other")
    with pytest.raises(ConfigurationMissing, match="file exists"):
        store.share("one/a", "two/b")
    assert store.get("two/b") == b"content"
    with pytest.raises(VaultCorrupt, match="not allowed"):
        store.share("one/a", "../b")


@pytest.mark.parametrize("number", [errno.EPERM, errno.EXDEV, errno.EMLINK, errno.EOPNOTSUPP])
def test_a_medium_without_second_names_shares_nothing(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store.put("a", b"1")
    monkeypatch.setattr(os, "link", lambda *names, **how: (_ for _ in ()).throw(OSError(number, "no")))
    assert not store.share("a", "b")
    assert list(store.list("")) == ["a"]


def test_of_a_link_nothing_but_itself_is_shared(store: FolderStore, tmp_path: Path) -> None:
    store.put("a", b"1")
    (tmp_path / "outside").write_bytes(b"2")
    (store.root / "link").symlink_to(tmp_path / "outside")
    assert store.share("link", "b"), "the link itself, not what it names"
    with pytest.raises(VaultCorrupt):
        store.get("b")


def test_list_is_sorted_and_filtered_by_prefix(store: FolderStore) -> None:
    for name in ("b/2", "b/10", "a", "b-1", "ba"):
        store.put(name, b"")
    assert list(store.list("")) == ["a", "b-1", "b/10", "b/2", "ba"]
    assert list(store.list("b/")) == ["b/10", "b/2"]


def test_modes_are_private(store: FolderStore) -> None:
    store.put("case/a", b"")
    for path, mode in ((store.root, 0o700), (store.root / "case", 0o700), (store.root / "case/a", 0o600)):
        assert path.stat().st_mode & 0o777 == mode


def test_folder_made_by_others_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "vault").mkdir(mode=0o750)
    FolderStore(tmp_path / "vault").put("a", b"")
    assert (tmp_path / "vault").stat().st_mode & 0o777 == 0o750


BAD_NAMES = [
    "",
    "/etc/passwd",
    "../outside",
    "a/../../b",
    "a//b",
    "a/.",
    "a/",
    "a\\b",
    "a\nb",
    "a\x00b",
    "a\x7f",
    "a\ud800",
    PARTIAL + "x",
    "x" * 256,
    "/".join(["y" * 200] * 6),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_bad_name_is_refused(store: FolderStore, name: str) -> None:
    with pytest.raises(VaultCorrupt, match="is not allowed"):
        store.put(name, b"")
    with pytest.raises(VaultCorrupt, match="is not allowed"):
        store.get(name)


def test_chinese_and_quoted_names_are_allowed(store: FolderStore) -> None:
    store.put('案件/表 "客户".seg', b"1")
    assert list(store.list("案件/")) == ['案件/表 "客户".seg']


def test_link_is_not_followed(store: FolderStore, tmp_path: Path) -> None:
    store.put("a", b"")
    (tmp_path / "secret").write_text("secret")
    (store.root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(VaultCorrupt, match="object link cannot be read"):
        store.get("link")


def test_leftover_of_a_killed_put_is_not_listed_and_removable(store: FolderStore) -> None:
    store.put("case/a", b"1")
    (store.root / "case" / f"{PARTIAL}dead").write_bytes(b"half")
    assert list(store.list("")) == ["case/a"]
    assert store.remove_partial() == 1
    assert store.remove_partial() == 0
    assert store.get("case/a") == b"1"


def test_put_that_still_runs_is_left_alone(store: FolderStore) -> None:
    store.put("a", b"1")
    running = store.root / f"{PARTIAL}running"
    with running.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert store.remove_partial() == 0
    assert store.remove_partial() == 1


PUT_UNTIL_KILLED = """
import hashlib, os, sys
from pathlib import Path
from handover.vault.store import FolderStore
store = FolderStore(Path(sys.argv[1]))
while True:
    data = os.urandom(300_000)
    store.put("run/" + hashlib.sha256(data).hexdigest(), data)
    print(flush=True)
"""


def test_killed_put_leaves_no_half_object(store: FolderStore) -> None:
    for objects in range(1, 6):
        with subprocess.Popen(
            [sys.executable, "-c", PUT_UNTIL_KILLED, str(store.root)],
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            stdout=subprocess.PIPE,
        ) as child:
            for _ in range(objects):
                assert child.stdout and child.stdout.readline() == b"\n"
            child.kill()
    names = list(store.list(""))
    assert len(names) >= 15
    assert all(hashlib.sha256(store.get(name)).hexdigest() == name.removeprefix("run/") for name in names)
    store.remove_partial()
    assert len(list((store.root / "run").iterdir())) == len(names)


PUT_IN_TOO_LITTLE_SPACE = """
import sys
from pathlib import Path
from handover.errors import Busy
from handover.vault.store import FolderStore
store = FolderStore(Path(sys.argv[1]))
try:
    store.put("big", bytes(100_000))
except Busy as error:
    print(error)
"""


def test_no_space_is_transient_and_leaves_nothing(store: FolderStore) -> None:
    store.put("small", b"1")
    done = subprocess.run(
        [sys.executable, "-c", PUT_IN_TOO_LITTLE_SPACE, str(store.root)],
        env={"PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "cannot be written: file too large" in done.stdout
    assert "HINT: free space" in done.stdout
    assert [path.name for path in store.root.iterdir()] == ["small"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_full_disk_is_busy(number: int) -> None:
    assert isinstance(refusal(OSError(number, "x"), Path("/v"), "written"), Busy)


def test_place_that_is_no_folder_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationMissing, match="cannot be written: file exists"):
        FolderStore(tmp_path / "file").put("a/b", b"")
