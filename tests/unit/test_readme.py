"""Both READMEs speak of what is there: errors, commands, targets, files."""

import re
from collections.abc import Iterator

import pytest

from handover import cli, errors
from handover.local import ServiceFailed
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


@both
def test_runbook_has_an_entry_for_every_error(text: str) -> None:
    assert issubclass(ServiceFailed, errors.Terminal)
    rows = "\n".join(line for line in text.splitlines() if line.startswith("| `"))
    missing = {name for name in concrete(errors.HandoverError) if f"`{name}`" not in rows}
    assert missing == set()


@both
def test_runbook_names_no_error_that_does_not_exist(text: str) -> None:
    heads = [
        line.split("|")[1]
        for line in text.splitlines()
        if line.startswith("| `") and "handover" not in line.split("|")[1]
    ]
    named = {name for head in heads for name in re.findall(r"`(\w+)`", head)}
    assert named == set(concrete(errors.HandoverError))


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
