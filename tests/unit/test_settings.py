"""Settings: what wins over what, and what is said about the one that is missing."""

import os
from pathlib import Path

import pytest

from handover.errors import ConfigurationMissing
from handover.settings import REPOSITORY, Settings, default_home, read_env_file


def test_everything_lies_below_the_home(tmp_path: Path) -> None:
    settings = Settings.load({"HANDOVER_HOME": str(tmp_path)})
    assert (settings.vault, settings.keyring, settings.evidence) == (
        tmp_path / "vault",
        tmp_path / "keyring",
        tmp_path / "evidence",
    )
    assert settings.cases == REPOSITORY / "include" / "cases"


def test_folders_can_be_elsewhere(tmp_path: Path) -> None:
    names = ("CASES", "VAULT", "KEYRING", "EVIDENCE")
    settings = Settings.load(
        {"HANDOVER_HOME": "/nowhere", **{f"HANDOVER_{n}": str(tmp_path / n) for n in names}}
    )
    assert [settings.cases, settings.vault, settings.keyring, settings.evidence] == [
        tmp_path / name for name in names
    ]


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "handover.env").write_text("A=file\nHANDOVER_VAULT=/from-file\nB=file\n")
    settings = Settings.load({"HANDOVER_HOME": str(tmp_path), "B": "environment"})
    assert (settings.require("A"), settings.require("B")) == ("file", "environment")
    assert settings.vault == Path("/from-file")


def test_without_a_name_the_home_is_the_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_home() == Path("/var/lib/handover")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert default_home() == Settings.load({"HANDOVER_HOME": ""}).home == REPOSITORY / ".handover"


def test_an_unreadable_settings_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "handover.env").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationMissing, match="cannot be read by this account"):
        Settings.load({"HANDOVER_HOME": str(tmp_path)})


@pytest.mark.parametrize("variables", [{}, {"X": ""}])
def test_a_missing_setting_says_where_it_was_looked_for(tmp_path: Path, variables: dict[str, str]) -> None:
    settings = Settings.load({"HANDOVER_HOME": str(tmp_path), **variables})
    with pytest.raises(ConfigurationMissing, match=f"X is not set .* {tmp_path}/handover.env") as caught:
        settings.require("X")
    assert "make up" in caught.value.hint


def test_env_files_are_read_as_a_shell_does(tmp_path: Path) -> None:
    path = tmp_path / "x.env"
    path.write_text(
        "# NO=1\n\nplain=a=b\nquoted='two words'\njson='{\"a\": \"it'\"'\"'s\"}'\nurl=postgresql://u:%40@h/db\n"
    )
    assert read_env_file(path) == {
        "plain": "a=b",
        "quoted": "two words",
        "json": '{"a": "it\'s"}',
        "url": "postgresql://u:%40@h/db",
    }
    assert read_env_file(tmp_path / "absent") == {}
