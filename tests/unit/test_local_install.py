"""The installer hands pip's configuration to uv, and nothing else."""

import importlib.util
from types import ModuleType

import pytest

from handover.settings import REPOSITORY


@pytest.fixture(scope="module")
def installer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("installer", REPOSITORY / "scripts" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_plain_machine_needs_no_settings(installer: ModuleType) -> None:
    assert installer.uv_settings({}) == {"UV_INDEX_STRATEGY": "unsafe-best-match"}


def test_a_mirror_with_its_certificate_is_passed_on(installer: ModuleType) -> None:
    pip = {
        "index-url": "https://mirror.example/simple",
        "extra-index-url": "https://a.example https://b.example",
        "find-links": "/wheels /more",
        "cert": "/etc/ca.pem",
        "proxy": "http://proxy.example:3128",
        "quiet": "1",
    }
    assert installer.uv_settings(pip) == {
        "UV_DEFAULT_INDEX": "https://mirror.example/simple",
        "UV_INDEX": "https://a.example https://b.example",
        "UV_FIND_LINKS": "/wheels,/more",
        "SSL_CERT_FILE": "/etc/ca.pem",
        "ALL_PROXY": "http://proxy.example:3128",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }


def test_the_environment_wins_over_pips_files(
    installer: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("pip") / "pip.conf"
    file.write_text("[global]\nindex-url = https://file.example\ntimeout = 9\n[install]\ntimeout = 11\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("PIP_INDEX_URL", "https://env.example")
    found = installer.pip_settings()
    assert found["index-url"] == "https://env.example"
    assert found["timeout"] == "11"
