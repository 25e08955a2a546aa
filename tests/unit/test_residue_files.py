"""Files are searched over the ends of pieces, none is passed by silently; words of the report."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from fixtures.residue import CANARY, found, now
from handover.model.policy import Text
from handover.model.residue import OUTCOMES, PLACES, Residue, Window
from handover.postgres.residue.inspecting import CHECKS
from handover.postgres.residue.searching import OVERLAP, search_files


def test_a_value_across_two_pieces_is_found(tmp_path: Path) -> None:
    piece = 4 << 20
    for at in (0, piece - 5, piece, 2 * piece - len(CANARY) + 1):
        (tmp_path / "file").write_bytes(b"\0" * at + CANARY + b"\0" * 100)
        assert search_files(tmp_path, found).hits == ("file",)
    (tmp_path / "file").write_bytes(b"\0" * (piece + OVERLAP))
    assert search_files(tmp_path, found).hits == ()


def test_files_that_cannot_be_read_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "space"
    elsewhere.mkdir()
    (elsewhere / "inside").write_bytes(CANARY)
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    (folder / "link").symlink_to(elsewhere)
    (folder / "sub" / "loop").symlink_to(folder)
    for one in ("a", "closed", "gone"):
        (folder / one).write_bytes(b"x" * 10)
    opened: Callable[..., object] = Path.open

    def refusing(self: Path, *rest: object) -> object:
        if self.name in ("closed", "gone"):
            raise PermissionError if self.name == "closed" else FileNotFoundError
        return opened(self, *rest)

    monkeypatch.setattr(Path, "open", refusing)
    said = search_files(folder, found)
    assert (said.hits, said.unreadable, said.vanished) == (("link/inside",), ("closed",), 1)
    assert (said.files, said.bytes) == (2, 10 + len(CANARY))


def test_every_place_has_a_check_and_words_in_both_languages() -> None:
    assert {check.place for check in CHECKS} | {"data-directory"} == set(PLACES)
    assert len(CHECKS) == len({check.place for check in CHECKS})
    texts = [*PLACES.values(), *OUTCOMES.values(), *(check.how for check in CHECKS)]
    assert all(any("\u4e00" <= sign <= "\u9fff" for sign in text.zh) and text.en.isascii() for text in texts)


def test_a_doubt_without_a_reason_is_refused() -> None:
    words = Text(zh="甲", en="a")
    with pytest.raises(ValueError, match="say why"):
        Residue(place="heap", outcome="cannot be verified", how=words)
    with pytest.raises(ValueError, match="not after begins"):
        Window(begins=now(), ends=now() - timedelta(hours=1))
