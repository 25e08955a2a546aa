"""The keyring: wrapping, rotating and destroying; what is destroyed stays so in every older copy."""

import base64
import json
import multiprocessing
import shutil
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from handover.errors import ConfigurationMissing, KeyUnavailable
from handover.vault.copies import DeclaredCopy, declared_copies
from handover.vault.keyring import Keyring, KeyState, Purpose, RootInfo
from handover.vault.roots import FileRootProvider

# RFC 3394, sections 4.3, 4.5 and 4.6: key data and what a 256-bit key wraps them to.
RFC_3394_KEK = "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F"
RFC_3394_WRAPPED = {
    "00112233445566778899AABBCCDDEEFF": "64E8C3F9CE0F5BA263E9777905818A2A93C8191E7D6E8AE7",
    "00112233445566778899AABBCCDDEEFF0001020304050607": (
        "A8F9BC1612C68B3FF6E6F4FBE30E71E4769C8B80A32CB8958CD5D17D6B254DA1"
    ),
    "00112233445566778899AABBCCDDEEFF000102030405060708090A0B0C0D0E0F": (
        "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21"
    ),
}


@pytest.fixture
def ring(tmp_path: Path) -> Keyring:
    return Keyring.open(tmp_path / "keys")


def book(ring: Keyring) -> Path:
    return ring.folder / "keyring.json"


@pytest.mark.parametrize("data", RFC_3394_WRAPPED)
def test_rfc_3394_vectors(tmp_path: Path, data: str) -> None:
    provider = FileRootProvider(tmp_path)
    (tmp_path / "backup.1.key").write_bytes(bytes.fromhex(RFC_3394_KEK))
    wrapped = provider.wrap(Purpose.BACKUP, 1, bytes.fromhex(data))
    assert wrapped.hex().upper() == RFC_3394_WRAPPED[data]
    assert provider.unwrap(Purpose.BACKUP, 1, wrapped).hex().upper() == data


def test_key_comes_back_after_reopening(ring: Keyring) -> None:
    info = ring.ensure(Purpose.BACKUP, "case-1")
    assert info.key_id.startswith("backup-")
    assert (info.purpose, info.case, info.state) == (Purpose.BACKUP, "case-1", KeyState.ACTIVE)
    secret = ring.key(info.key_id)
    assert len(secret) == 32
    assert Keyring.open(ring.folder).key(info.key_id) == secret


def test_ensure_again_gives_the_same_key(ring: Keyring) -> None:
    assert ring.ensure(Purpose.BACKUP, "a") == ring.ensure(Purpose.BACKUP, "a")
    assert ring.find(Purpose.BACKUP, "a") == ring.ensure(Purpose.BACKUP, "a")


def test_cases_and_purposes_have_keys_of_their_own(ring: Keyring) -> None:
    infos = [ring.ensure(purpose, case) for purpose in Purpose for case in ("a", "b")]
    assert len({info.key_id for info in infos}) == len(infos)
    keys = {ring.key(info.key_id) for info in infos}
    assert len(keys) == len(infos)
    assert sorted(info.key_id for info in ring.list()) == sorted(info.key_id for info in infos)


def test_find_does_not_create(ring: Keyring) -> None:
    assert ring.find(Purpose.ARCHIVE, "a") is None
    assert ring.list() == []


def test_unknown_key_is_named(ring: Keyring) -> None:
    with pytest.raises(KeyUnavailable, match="key backup-00 is not in the keyring"):
        ring.key("backup-00")
    with pytest.raises(KeyUnavailable, match="key backup-00 is not in the keyring"):
        ring.destroy("backup-00")


def test_keyring_file_alone_opens_nothing(ring: Keyring) -> None:
    info = ring.ensure(Purpose.BACKUP, "a")
    secret = ring.key(info.key_id)
    text = book(ring).read_bytes()
    assert secret not in text
    assert base64.b64encode(secret) not in text
    root = (ring.folder / "roots/backup.1.key").read_bytes()
    (record,) = json.loads(text)["keys"]
    assert aes_key_unwrap(root, base64.b64decode(record["wrapped"])) == secret


def test_modes_are_private(ring: Keyring) -> None:
    ring.ensure(Purpose.BACKUP, "a")
    modes = {path.name: path.stat().st_mode & 0o777 for path in ring.folder.rglob("*")}
    assert modes == {"keyring.json": 0o600, "keyring.lock": 0o600, "roots": 0o700, "backup.1.key": 0o600}
    assert ring.folder.stat().st_mode & 0o777 == 0o700


def test_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    with pytest.raises(ConfigurationMissing, match="can be entered by others \\(mode 755\\)"):
        Keyring.open(tmp_path / "keys")


def test_rotate_keeps_keys_and_removes_the_old_root(ring: Keyring) -> None:
    infos = [ring.ensure(Purpose.BACKUP, case) for case in "ab"]
    other = ring.ensure(Purpose.EVIDENCE, "a")
    keys = [ring.key(info.key_id) for info in infos]
    assert ring.rotate(Purpose.BACKUP) == RootInfo(Purpose.BACKUP, 2)
    assert [ring.key(info.key_id) for info in infos] == keys
    assert sorted(path.name for path in (ring.folder / "roots").iterdir()) == [
        "backup.2.key",
        "evidence.1.key",
    ]
    assert {info.root for info in ring.list() if info.purpose is Purpose.BACKUP} == {2}
    assert ring.find(Purpose.EVIDENCE, "a") == other


def test_copies_of_the_keyring_are_declared() -> None:
    said = "safe in Shanghai; /mnt/keys = destroyed 2026-11-22;"
    assert declared_copies({"HANDOVER_KEY_COPIES": said}) == (
        DeclaredCopy("safe in Shanghai"),
        DeclaredCopy("/mnt/keys", date(2026, 11, 22)),
    )
    assert declared_copies({}) == ()


@pytest.mark.parametrize("said", ["safe = destroyed", "safe = destroyed soon", "= destroyed 2026-11-22"])
def test_a_declaration_that_says_no_place_or_day_is_refused(said: str) -> None:
    with pytest.raises(ConfigurationMissing, match="names no place, or no day"):
        declared_copies({"HANDOVER_KEY_COPIES": f"office; {said}"})


def test_a_destruction_names_the_copies_that_are_declared(tmp_path: Path) -> None:
    declared = Keyring.open(tmp_path / "keys", ["safe", "office"])
    assert declared.destroy(declared.ensure(Purpose.BACKUP, "a").key_id).copies == ("safe", "office")


def test_destroyed_key_is_gone_and_the_others_stay(ring: Keyring) -> None:
    doomed, kept = ring.ensure(Purpose.BACKUP, "a"), ring.ensure(Purpose.BACKUP, "b")
    secret = ring.key(kept.key_id)
    destruction = ring.destroy(doomed.key_id)
    assert destruction.result == "unlinked, not verifiable"
    assert (destruction.key_id, destruction.case, destruction.copies) == (doomed.key_id, "a", ())
    with pytest.raises(KeyUnavailable, match=f"key {doomed.key_id} was destroyed at"):
        ring.key(doomed.key_id)
    assert ring.key(kept.key_id) == secret
    assert ring.find(Purpose.BACKUP, "a") is None
    assert [info.state for info in ring.list() if info.key_id == doomed.key_id] == [KeyState.DESTROYED]
    assert ring.ensure(Purpose.BACKUP, "a").key_id != doomed.key_id


def test_destroying_again_reports_the_same(ring: Keyring) -> None:
    info = ring.ensure(Purpose.BACKUP, "a")
    assert ring.destroy(info.key_id) == ring.destroy(info.key_id)


def test_destroy_makes_older_copies_useless(ring: Keyring, tmp_path: Path) -> None:
    doomed, kept = ring.ensure(Purpose.BACKUP, "a"), ring.ensure(Purpose.BACKUP, "b")
    shutil.copy(book(ring), tmp_path / "older.json")
    present = ring.destroy(doomed.key_id) and book(ring).read_bytes()
    shutil.copy(tmp_path / "older.json", book(ring))
    for key_id in (doomed.key_id, kept.key_id):
        with pytest.raises(KeyUnavailable, match=r"root backup\.1 is not in"):
            Keyring.open(ring.folder).key(key_id)
    book(ring).write_bytes(present)
    assert len(ring.key(kept.key_id)) == 32, "opening the older copy must not have harmed the present root"


def test_root_that_a_crash_left_is_destroyed_at_the_next_opening(ring: Keyring) -> None:
    info = ring.ensure(Purpose.BACKUP, "a")
    old_root = ring.folder / "roots/backup.1.key"
    content = old_root.read_bytes()
    ring.destroy(info.key_id)
    old_root.write_bytes(content)
    Keyring.open(ring.folder)
    assert not old_root.exists()


def test_root_of_another_keyring_does_not_open(ring: Keyring, tmp_path: Path) -> None:
    info = ring.ensure(Purpose.BACKUP, "a")
    other = Keyring.open(tmp_path / "other")
    other.ensure(Purpose.BACKUP, "a")
    shutil.copy(other.folder / "roots/backup.1.key", ring.folder / "roots/backup.1.key")
    with pytest.raises(KeyUnavailable, match=r"root backup\.1 .* does not open this key"):
        ring.key(info.key_id)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "roots": {}, "keys": [1]}'])
def test_damaged_keyring_is_named(ring: Keyring, text: str) -> None:
    book(ring).write_text(text)
    with pytest.raises(KeyUnavailable, match=r"keyring\.json is damaged"):
        ring.list()


def test_signer_is_one_key_that_survives_rotation(ring: Keyring) -> None:
    signer = ring.signer()
    ring.rotate(Purpose.SIGNING)
    again = Keyring.open(ring.folder).signer()
    assert again.key_id == signer.key_id == ring.ensure(Purpose.SIGNING, "").key_id
    public = load_pem_public_key(signer.public_pem)
    assert isinstance(public, Ed25519PublicKey)
    public.verify(again.sign(b"message"), b"message")


def ensure_many(folder: Path, cases: list[str]) -> None:
    ring = Keyring.open(folder)
    for case in cases:
        ring.key(ring.ensure(Purpose.BACKUP, case).key_id)
        ring.rotate(Purpose.BACKUP)


def test_processes_share_a_keyring_without_losing_keys(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    context = multiprocessing.get_context("spawn")
    cases = [[f"own-{number}", "shared", f"last-{number}"] for number in range(4)]
    workers = [context.Process(target=ensure_many, args=(folder, names)) for names in cases]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0, 0]
    ring = Keyring.open(folder)
    assert sorted(info.case for info in ring.list()) == sorted({name for names in cases for name in names})
    assert len({ring.key(info.key_id) for info in ring.list()}) == 9
    assert [path.name for path in (folder / "roots").iterdir()] == ["backup.13.key"]
