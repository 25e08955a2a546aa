"""Both READMEs speak of what is there: errors, commands, targets, files."""

import re
from collections.abc import Iterator
from typing import get_args

import pytest

from handover import cli, errors
from handover.local import ServiceFailed
from handover.pseudonymise.deciding import CLEAR, REDACT
from handover.pseudonymise.strategies import AnyStrategy
from handover.settings import REPOSITORY

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
CHINESE = (REPOSITORY / "README.zh-CN.md").read_text(encoding="utf-8")
both = pytest.mark.parametrize("text", [README, CHINESE], ids=["english", "chinese"])


def concrete(base: type[errors.HandoverError]) -> Iterator[str]:
    """Yield the names of all errors that somebody may see."""
    for found in base.__subclasses__():
        if not found.__module__.startswith("handover."):
            continue  # another test's
        children = list(concrete(found))
        yield from children or [found.__name__]


def runbook(text: str) -> list[str]:
    """Return the lines of the chapter about errors."""
    chapter = re.split(r"^## (?:Runbook|运行手册)$", text, flags=re.MULTILINE)[1]
    return chapter.split("\n## ")[0].splitlines()


@both
def test_runbook_has_an_entry_for_every_error(text: str) -> None:
    assert issubclass(ServiceFailed, errors.Terminal)
    rows = "\n".join(line for line in runbook(text) if line.startswith("| `"))
    missing = {name for name in concrete(errors.HandoverError) if f"`{name}`" not in rows}
    assert missing == set()


@both
def test_runbook_names_no_error_that_does_not_exist(text: str) -> None:
    heads = [line.split("|")[1] for line in runbook(text) if line.startswith("| `")]
    named = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
    assert named == set(concrete(errors.HandoverError))


@both
def test_strategies_are_those_that_exist(text: str) -> None:
    """``drop`` is for files; what is no strategy of a column is what a data map may write beside them."""
    table = re.split(r"^\| (?:Strategy|方法) \|", text, flags=re.MULTILINE)[1].split("\n\n")[0]
    heads = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [name for head in heads for name in re.findall(r"`(\w+)`", head)]
    known = [option.model_fields["strategy"].default for option in get_args(get_args(AnyStrategy)[0])]
    assert sorted(named) == sorted({*known, CLEAR, REDACT} - {"drop"})


@both
def test_commands_exist(text: str) -> None:
    commands = set(
        re.findall(r"handover (case check|keys list|inventory|status|stop|verify|restore|version)", text)
    )
    assert len(commands) == 8
    for command in commands:
        with pytest.raises(SystemExit) as ended:
            cli.main([*command.split(), "--help"])
        assert ended.value.code == 0


@both
def test_commands_of_the_table_exist(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the actions that a command is said to have."""
    rows = re.findall(r"^\| `\.venv/bin/handover (\w+)([^|]*)\|", text, flags=re.MULTILINE)
    assert {"reveal", "custodian", "destruction", "backup", "certificate"} <= {name for name, _ in rows}
    for name, rest in rows:
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0
        told = capsys.readouterr().out
        for action in re.findall(r"(?<![-\w])[a-z]+(?![-\w])", rest):
            assert action in told, f"{name} has no {action}"


@both
def test_make_targets_exist(text: str) -> None:
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in set(re.findall(r"[`$] ?make ([a-z]+)\b", text)):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


@both
def test_files_and_links_exist(text: str) -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (REPOSITORY / link).exists(), link
    for folder in re.findall(r"^(\w+(?:/\w+)*/)  ", text, re.MULTILINE):
        assert (REPOSITORY / folder).is_dir(), folder


def test_both_languages_show_the_same_output() -> None:
    blocks = [
        re.findall(r"<!-- \w+ -->.*?<!-- /\w+ -->|```console.*?```", text, re.DOTALL)
        for text in (README, CHINESE)
    ]
    assert [re.sub(r"#.*", "", b) for b in blocks[0]] == [re.sub(r"#.*", "", b) for b in blocks[1]]
