"""The layout holds: who may import whom, where Airflow and Great Expectations may be, how long things are.

The import direction keeps each layer testable without those above it, and lets a stage be read without
knowing Airflow. It is checked here because a wrong import works, and so nobody would notice it.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from handover.settings import REPOSITORY

# What each part may import beside itself. A line that breaks this belongs into another part, or what it
# wants belongs further down; adding an arrow here is a decision about the design.
_FACTS = {"errors", "model", "crashpoints"}
_STORES = {*_FACTS, "postgres", "codec", "vault"}
_STAGES = {
    *_STORES,
    *("handover", "evidence", "classify", "quality", "law", "pseudonymise", "risk", "settings", "stages"),
    "archive",
}
MAY_IMPORT: dict[str, set[str]] = {
    "handover": set(),  # the package itself: its version
    "errors": set(),
    "crashpoints": set(),
    "model": {"errors"},
    "law": {"errors", "model"},  # pure: no database, no clock; a verdict can be worked out again anywhere
    "risk": {"errors", "model"},  # pure as well: what it finds in frames and buffers, it finds in any
    "settings": {"errors"},
    "connections": {"errors"},
    "postgres": _FACTS,
    "codec": _FACTS,
    "vault": _FACTS,
    # The package itself for its version. No database: what is read is handed to it, and keys as well.
    "archive": {*_FACTS, "codec", "vault", "handover"},
    "sample": {*_FACTS, "postgres"},  # fills a database through the same pinned sessions
    "classify": _STORES,
    # Pure: no database. Classify finds what stands in free text, so that it gets its column's pseudonym.
    "pseudonymise": {"errors", "model", "classify", "codec"},
    "quality": _STORES,
    "evidence": _STORES,
    "stages": _STAGES,
    "local": {*_STAGES, "connections", "sample"},
    "commands": {*_STAGES, "connections", "sample", "local"},
    "cli": {"errors", "commands"},
    "plugins": {"errors", "settings", "connections", "stages"},
    "dags": {"plugins", "stages"},
}
LONGEST_FUNCTION = 60
LONGEST_MODULE = 300
# One stand-alone file, a copy of which lies in every evidence folder; it cannot be split.
LONG_MODULES = {"include/handover/evidence/verifier.py"}

MODULES = sorted(
    path.relative_to(REPOSITORY)
    for top in ("include/handover", "plugins", "dags")
    for path in (REPOSITORY / top).rglob("*.py")
)


@dataclass(frozen=True)
class Source:
    """A module's place in the repository and its text."""

    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def part(self) -> str:
        """The part of the layout to which the module belongs."""
        top, *rest = self.path.with_suffix("").parts
        return top if top != "include" else part_of(".".join(rest).removesuffix(".__init__"))

    @property
    def package(self) -> list[str]:
        """The package from which the module's relative imports start."""
        return list(self.path.parent.parts[1:])


def part_of(module: str) -> str:
    """The part to which an imported module belongs; empty when it is not ours."""
    top, *below = module.split(".")
    if top == "handover_airflow":
        return "plugins"
    if top != "handover":
        return ""
    return below[0] if below and below[0] in MAY_IMPORT else top if not below else f"unknown part {below[0]}"


def imported(source: Source) -> Iterator[tuple[int, str]]:
    """Every module that is imported anywhere in a module, also inside functions."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = source.package[: len(source.package) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            for name in node.names:  # `from handover import sample` imports a part, not the package
                whole = f"{base}.{name.name}"
                yield node.lineno, whole if base == "handover" and name.name in MAY_IMPORT else base


def wrong_imports(source: Source) -> list[str]:
    """A line for each import that goes against the direction."""
    allowed = MAY_IMPORT.get(source.part)
    if allowed is None:
        return [f"{source.path}: give this part a place in MAY_IMPORT"]
    return [
        f"{source.path}:{line}: {source.part} must not import {part_of(module)} ({module}); "
        f"it may import {', '.join(sorted(allowed - {source.part})) or 'no other part'}"
        for line, module in imported(source)
        if part_of(module) and part_of(module) not in allowed | {source.part}
    ]


def foreign_imports(source: Source) -> list[str]:
    """A line for each import of a framework outside its one place, with the reason for that place."""
    rules = {
        "airflow": (
            source.path.parts[0] != "include",
            "stages must run, and be tested, without Airflow; its edge is plugins/",
        ),
        "great_expectations": (
            source.part == "quality",
            "its results quote rows, so that one package alone handles them: handover/quality",
        ),
    }
    return [
        f"{source.path}:{line}: must not import {module}: {rules[top][1]}"
        for line, module in imported(source)
        if (top := module.split(".")[0]) in rules and not rules[top][0]
    ]


def too_long(source: Source) -> list[str]:
    """A line for the module and each function that does not fit the limits."""
    lines = len(source.text.splitlines())
    long_module = lines > LONGEST_MODULE and source.path.as_posix() not in LONG_MODULES
    found = [f"{source.path}: {lines} lines, at most {LONGEST_MODULE}: split it"] if long_module else []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            if length > LONGEST_FUNCTION:
                found.append(f"{source.path}:{node.lineno}: {node.name} has {length} lines: split it")
    return found


def without_docstring(source: Source) -> list[str]:
    """A line when nobody said what the module is for."""
    return [] if ast.get_docstring(source.tree) else [f"{source.path}: say in a docstring what it is for"]


def asserts(source: Source) -> list[str]:
    """A line for each assert: `python -O` leaves them out, and then nothing is checked any more."""
    return [
        f"{source.path}:{node.lineno}: raise an error of handover.errors, `python -O` drops an assert"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    ]


RULES = [wrong_imports, foreign_imports, too_long, without_docstring, asserts]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps_the_rule(rule) -> None:
    sources = [Source(path, (REPOSITORY / path).read_text()) for path in MODULES]
    found = [line for source in sources for line in rule(source)]
    assert found == [], "\n".join(found)


def test_all_parts_are_looked_at() -> None:
    """A rule that looks at nothing would pass."""
    parts = {Source(path, "").part for path in MODULES}
    assert parts == set(MAY_IMPORT)


def test_tasks_do_not_load_what_a_few_of_them_need() -> None:
    """Each task is a process of its own, and pays for every module that it loads."""
    said = (
        "import sys, handover.stages.migrate, handover.stages.close; "
        "print({'fpdf', 'pandas', 'great_expectations'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_no_exemption_is_left_over() -> None:
    for path in LONG_MODULES:
        assert len((REPOSITORY / path).read_text().splitlines()) > LONGEST_MODULE


@pytest.mark.parametrize("part", sorted(MAY_IMPORT))
def test_the_direction_has_no_cycle(part: str) -> None:
    reached, waiting = set(), list(MAY_IMPORT[part] - {part})
    while waiting:
        here = waiting.pop()
        if here not in reached:
            reached.add(here)
            waiting += MAY_IMPORT[here] - {here}
    assert part not in reached


WRONG = {
    "upwards": (
        "postgres/x.py",
        "from handover.stages.context import Context",
        "postgres must not import stages",
    ),
    "sideways": ("vault/x.py", "import handover.postgres.session", "vault must not import postgres"),
    "inside a function": ("model/x.py", "def f():\n    from handover.postgres import copying", r"x\.py:2"),
    "for types alone": (
        "codec/x.py",
        "if TYPE_CHECKING:\n    from handover.stages import plan",
        "codec must not import stages",
    ),
    "a part by its name": ("evidence/x.py", "from handover import sample", "must not import sample"),
    "relative": ("codec/x.py", "from ..stages import plan", "must not import stages"),
    "relative to the package": ("codec/x.py", "from .. import cli", "must not import cli"),
    "this machine": ("stages/x.py", "from handover.local import demo", "must not import local"),
    "the command line": ("local/x.py", "from handover.cli import main", "must not import cli"),
    "a new part": ("stages/x.py", "from handover.novelty import x", "unknown part novelty"),
    "from a new part": ("novelty/x.py", "import json", "give this part a place"),
}


@pytest.mark.parametrize("path, text, said", WRONG.values(), ids=WRONG)
def test_a_wrong_import_is_found(path: str, text: str, said: str) -> None:
    found = wrong_imports(Source(Path("include/handover") / path, text))
    assert len(found) == 1
    assert re.search(said, found[0])


def test_dags_must_go_through_stages() -> None:
    wrong = Source(Path("dags/x.py"), "from handover.postgres.session import connect")
    assert "dags must not import postgres" in wrong_imports(wrong)[0]
    right = Source(Path("dags/x.py"), "from handover.stages import plan\nfrom handover_airflow import edge")
    assert wrong_imports(right) == []


def test_frameworks_outside_their_place_are_found() -> None:
    inside = Path("include/handover/stages/x.py")
    assert "without Airflow" in foreign_imports(Source(inside, "def f():\n    import airflow.sdk"))[0]
    assert "quote rows" in foreign_imports(Source(inside, "from great_expectations import core"))[0]
    assert foreign_imports(Source(Path("plugins/x.py"), "from airflow.sdk import DAG")) == []


def test_length_docstring_and_assert_are_found() -> None:
    path = Path("include/handover/stages/x.py")
    body = "\n".join(f"    a{n} = {n}" for n in range(LONGEST_FUNCTION))
    assert "f has 61 lines" in too_long(Source(path, f"def f():\n{body}\n"))[0]
    assert "301 lines" in too_long(Source(path, "x = 1\n" * (LONGEST_MODULE + 1)))[0]
    assert too_long(Source(path, "x = 1\n" * LONGEST_MODULE)) == []
    assert len(without_docstring(Source(path, "x = 1"))) == 1
    assert "python -O" in asserts(Source(path, "def f(x):\n    assert x"))[0]


def test_test_files_have_different_names() -> None:
    """Two of one name cannot be collected together, as the campaign does."""
    names = [path.name for path in (REPOSITORY / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
