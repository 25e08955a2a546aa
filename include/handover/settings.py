"""Where things are on this machine: read once from the environment and ``$HANDOVER_HOME/handover.env``.

A variable that is set in the environment wins over the file.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from handover.errors import ConfigurationMissing

REPOSITORY = Path(__file__).resolve().parents[2]


def default_home() -> Path:
    """Return the state folder when nobody names one: in the clone, or for root under /var/lib."""
    return Path("/var/lib/handover") if os.geteuid() == 0 else REPOSITORY / ".handover"


def read_env_file(path: Path) -> dict[str, str]:
    """Read ``NAME=value`` lines; values may be quoted as a shell does."""
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationMissing(
            f"{path} cannot be read by this account",
            hint="set HANDOVER_HOME to a state folder of your own, or work as the account that made it",
        ) from None
    values = {}
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith("#"):
            values[name.strip()] = "".join(shlex.split(value))
    return values


@dataclass(frozen=True)
class Settings:
    """Folders, the ledger's address and the variables in force."""

    home: Path
    cases: Path
    sources: Path
    expectations: Path
    datamaps: Path
    policies: Path
    documents: Path
    vault: Path
    keyring: Path
    evidence: Path
    variables: Mapping[str, str]

    @staticmethod
    def load(environ: Mapping[str, str] = os.environ) -> Settings:
        """Return the settings of this process."""
        home = Path(environ.get("HANDOVER_HOME") or default_home())
        variables = {**read_env_file(home / "handover.env"), **environ}

        def folder(name: str, default: Path) -> Path:
            return Path(variables.get(name) or default)

        return Settings(
            home=home,
            sources=folder("HANDOVER_SOURCES", REPOSITORY / "include" / "sources"),
            cases=folder("HANDOVER_CASES", REPOSITORY / "include" / "cases"),
            expectations=folder("HANDOVER_EXPECTATIONS", REPOSITORY / "include" / "expectations"),
            datamaps=folder("HANDOVER_DATAMAPS", REPOSITORY / "include" / "datamaps"),
            policies=folder("HANDOVER_POLICIES", REPOSITORY / "include" / "policies"),
            documents=folder("HANDOVER_DOCUMENTS", REPOSITORY / "include" / "documents"),
            vault=folder("HANDOVER_VAULT", home / "vault"),
            keyring=folder("HANDOVER_KEYRING", home / "keyring"),
            evidence=folder("HANDOVER_EVIDENCE", home / "evidence"),
            variables=variables,
        )

    def require(self, name: str) -> str:
        """Return a variable that must be set."""
        value = self.variables.get(name)
        if not value:
            raise ConfigurationMissing(
                f"{name} is not set in the environment nor in {self.home / 'handover.env'}",
                hint="run `make up` (or `make demo`) first, or set HANDOVER_HOME to its state folder",
            )
        return value
