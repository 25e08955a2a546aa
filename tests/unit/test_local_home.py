"""The state folder: closed to others, its secrets and ports kept, foreign folders left as they are."""

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest

from handover.errors import Busy, ConfigurationMissing
from handover.local.account import NAME, server_account
from handover.local.home import Home, Ports
from handover.local.ports import free_block, is_free
from handover.settings import read_env_file

NOBODYS: frozenset[int] = frozenset()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.delenv("HANDOVER_PORT", raising=False)
    monkeypatch.setenv("HANDOVER_HOME", str(tmp_path / "state"))
    home = Home.locate()
    home.create()
    return home


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        port = free_block(4)
        listener.bind(("127.0.0.1", port))
        listener.listen()
        yield port


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_are_closed_but_for_the_way_of_the_servers_account(home: Home) -> None:
    assert mode(home.root) == (0o711 if os.geteuid() == 0 else 0o700)
    assert {mode(folder) for folder in home.root.iterdir()} == {0o700}


def test_a_folder_that_was_there_keeps_its_permissions(tmp_path: Path) -> None:
    root = tmp_path / "given"
    root.mkdir(mode=0o750)
    Home(root).create()
    assert mode(root) == 0o750


def test_a_closed_folder_is_named_when_servers_need_another_account(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    refused: AbstractContextManager[object] = nullcontext()
    if os.geteuid() == 0:
        refused = pytest.raises(
            ConfigurationMissing, match=f"{NAME} cannot enter /.*\nHINT: set HANDOVER_HOME"
        )
    with refused:
        server_account().require_way_to(closed / "state")


def test_secrets_are_made_once_and_only_we_may_read_them(home: Home) -> None:
    first = home.secrets()
    assert first == home.secrets()
    assert len(set(first.values())) == len(first)
    assert mode(home.root / "secrets.json") == 0o600


def test_env_files_say_the_same_to_us_and_are_closed(home: Home) -> None:
    values = {"PLAIN": "a", "JSON": '{"password": "it\'s $HOME"}', "EMPTY": ""}
    path = home.write_env("demo.env", values)
    assert read_env_file(path) == values
    assert mode(path) == 0o600
    assert [entry.name for entry in home.root.glob(".*")] == []


def test_ports_are_remembered(home: Home) -> None:
    first = home.choose_ports(NOBODYS)
    assert all(is_free(port) for port in first.all())
    assert home.choose_ports(NOBODYS) == first


def test_other_ports_are_found_when_one_was_taken_meanwhile(home: Home, taken_port: int) -> None:
    home.write_private("ports.json", f'{{"api": {taken_port}}}')
    assert home.choose_ports(NOBODYS) != Ports(taken_port)
    home.write_private("ports.json", f'{{"api": {taken_port}}}')
    assert home.choose_ports(frozenset({taken_port})) == Ports(taken_port)


def test_a_given_port_is_taken_or_refused_by_name(
    home: Home, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = free_block(4)
    monkeypatch.setenv("HANDOVER_PORT", str(free))
    assert home.choose_ports(NOBODYS).all() == (free, free + 1, free + 2, free + 3)
    monkeypatch.setenv("HANDOVER_PORT", str(taken_port))
    with pytest.raises(ConfigurationMissing, match=f"port {taken_port} is taken"):
        home.choose_ports(NOBODYS)


def test_any_ports_are_not_the_favourite(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANDOVER_PORT", "0")
    chosen = home.choose_ports(NOBODYS)
    assert chosen.api >= 20000
    assert home.choose_ports(NOBODYS) == chosen, "a restart finds the ports of before"


@pytest.mark.parametrize("given", ["eighty", "80", "65533", "-1"])
def test_a_given_port_that_is_none_is_refused(
    home: Home, given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HANDOVER_PORT", given)
    with pytest.raises(ConfigurationMissing, match=f"HANDOVER_PORT={given} is not a port"):
        home.choose_ports(NOBODYS)


def test_a_second_demo_in_the_same_folder_is_refused(home: Home) -> None:
    with home.exclusive(), pytest.raises(Busy, match="another demo"), home.exclusive():
        pass
    with home.exclusive():
        pass
