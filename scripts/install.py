"""Install Handover into .venv: pip fetches a pinned uv, uv the hash-checked rest. Needs Python 3.11 alone.

uv reads no configuration of pip, so that of this machine (index, links, certificates, proxy) is handed to it
by environment; variables for uv that are set already win. Nothing of it is written anywhere.

    scripts/install.py            install what the requirements files say
    scripts/install.py compile    write the requirements files anew from their inputs
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import venv
from pathlib import Path

CLONE = Path(__file__).resolve().parent.parent
VENV = CLONE / ".venv"
PYTHON = VENV / "bin" / "python"
# The installer first: its version must not depend on what the others ask for.
INPUTS = ("requirements-uv", "requirements", "requirements-dev")

# Option of pip: variable of uv. Lists are separated by spaces in both, but for links.
FOR_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
}


def main() -> None:
    if sys.version_info[:2] != (3, 11):
        raise SystemExit(f"python 3.11 is needed, this is {sys.version.split()[0]}: set PYTHON to one")
    make_environment()
    environment = {**uv_settings(pip_settings()), **os.environ}
    if sys.argv[1:] == ["compile"]:
        compile_requirements(environment)
    else:
        install(environment)


def make_environment() -> None:
    """Create .venv with pip unless it is there, and put the pinned uv into it."""
    if not (VENV / "bin" / "pip").exists():
        try:
            venv.create(VENV, with_pip=True, symlinks=True)
        except subprocess.CalledProcessError as error:
            raise SystemExit("python's venv cannot install pip; on Debian install python3.11-venv") from error
    quiet = ("--quiet", "--disable-pip-version-check")
    run(PYTHON, "-m", "pip", "install", *quiet, "--require-hashes", "-r", "requirements-uv.txt")


def install(environment: dict[str, str]) -> None:
    """Make .venv hold exactly what the requirements files say, and this clone as an editable package."""
    uv = (VENV / "bin" / "uv", "pip")
    files = [f"{name}.txt" for name in INPUTS]
    print(f"installing {' '.join(files)} into {VENV}", flush=True)
    # Each service would compile the same thousands of modules at its first start, all at once.
    exactly = ["--require-hashes", "--strict", "--compile-bytecode"]
    if not sys.stderr.isatty():
        exactly.append("--quiet")  # a log needs no list of two hundred packages
    run(*uv, "sync", "--python", PYTHON, *exactly, *files, env=environment)
    alone = ["--quiet", "--no-deps", "--no-build-isolation"]
    run(*uv, "install", "--python", PYTHON, *alone, "--editable", ".", env=environment)


def compile_requirements(environment: dict[str, str]) -> None:
    """Resolve the inputs again; addresses of registries stay out of the files."""
    quiet = ["--quiet", "--no-emit-index-url", "--no-emit-find-links"]
    for name in INPUTS:
        how = ["--python-version", "3.11", "--universal", "--generate-hashes", *quiet]
        run(VENV / "bin" / "uv", "pip", "compile", *how, f"{name}.in", "-o", f"{name}.txt", env=environment)


def pip_settings() -> dict[str, str]:
    """What pip is configured to use here: the environment wins over files, the command over the general."""
    listed = subprocess.run(
        [PYTHON, "-m", "pip", "config", "list"], cwd=CLONE, capture_output=True, text=True, check=True
    )
    pairs = [line.partition("=") for line in listed.stdout.splitlines() if "=" in line]
    found = {}
    for section in ("global.", "install.", ":env:."):
        for name, _, value in pairs:
            if name.startswith(section):
                found[name.removeprefix(section)] = str(ast.literal_eval(value))
    return found


def uv_settings(pip: dict[str, str]) -> dict[str, str]:
    """The same as variables of uv."""
    wanted = {variable: pip[name] for name, variable in FOR_UV.items() if pip.get(name)}
    if "UV_FIND_LINKS" in wanted:
        wanted["UV_FIND_LINKS"] = ",".join(wanted["UV_FIND_LINKS"].split())
    # pip takes a package from whichever index has it; hashes make sure that it is the right one.
    return {**wanted, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def run(*command: str | Path, env: dict[str, str] | None = None) -> None:
    done = subprocess.run([str(part) for part in command], cwd=CLONE, env=env, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} ended with status {done.returncode}")


if __name__ == "__main__":
    main()
