"""Every kind of ledger entry that the product can write is described in the evidence format, and no other."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from handover.model.destruction_acts import ACTS
from handover.settings import REPOSITORY
from handover.stages.approvals import Outcome
from handover.stages.pseudonym_keys import DESTROYED, KEPT

FORMAT = (REPOSITORY / "docs" / "evidence-format.md").read_text(encoding="utf-8")
PRODUCT = REPOSITORY / "include" / "handover"
STEPS_OF_TWO = ("requested", "approved", "used", "refused")
# Where the code does not name the kind: the module and what it writes there.
NAMED_ELSEWHERE = {
    ("stages/approvals.py", "outcome.value"): {outcome.value for outcome in Outcome},
    ("stages/destruction_signing.py", "kind_of(act)"): set(ACTS),
    ("stages/pseudonym_keys.py", "kind"): {DESTROYED, KEPT},
}


def documented(text: str) -> list[str]:
    """Return the kinds that have a row of their own in the chapter about them."""
    chapter = text.split("## Kinds of entries\n")[1].split("\n## ")[0]
    heads = [line.split("|")[1] for line in chapter.splitlines() if line.startswith("| `")]
    return [kind for head in heads for kind in re.findall(r"`([^`]+)`", head)]


def calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    """Yield the calls of a function or method of that name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == name:
            yield node


def is_of_a_context(call: ast.Call) -> bool:
    """Say whether it is the method of a run's context, and not another one of the same name."""
    receiver = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
    return receiver == "self" or "context" in receiver


def kinds_of_two_persons(tree: ast.AST) -> set[str]:
    """Return the kinds of requests that need a second person, as the module names them."""
    return {str(ast.literal_eval(call.args[1])) for call in calls(tree, "TwoPersons")}


def written(place: str, tree: ast.AST, module: ModuleType) -> set[str]:
    """Return the kinds that a module writes; fails for a call whose kind is not understood."""
    found = {f"{kind}-{step}" for kind in kinds_of_two_persons(tree) for step in STEPS_OF_TWO}
    for call in filter(is_of_a_context, calls(tree, "record")):
        said = ast.unparse(call.args[0])
        if isinstance(call.args[0], ast.JoinedStr):
            assert place == "stages/two_persons.py", f"{place}: name the kind {said} as a constant"
        elif isinstance(call.args[0], ast.Constant):
            found.add(str(call.args[0].value))
        elif (place, said) in NAMED_ELSEWHERE:
            found |= NAMED_ELSEWHERE[place, said]
        else:
            found.add(str(getattr(module, said)))
    return found


def all_written() -> dict[str, str]:
    """Return every kind with a module that writes it."""
    kinds = {}
    for path in sorted(PRODUCT.rglob("*.py")):
        text, place = path.read_text(encoding="utf-8"), path.relative_to(PRODUCT).as_posix()
        if ".record(" in text or "TwoPersons(" in text:
            kinds |= dict.fromkeys(written(place, ast.parse(text), imported(path)), place)
    return kinds


def imported(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.relative_to(PRODUCT.parent).with_suffix("").parts))


def test_every_kind_that_is_written_is_described() -> None:
    kinds = all_written()
    assert len(kinds) > 50
    missing = {kind: place for kind, place in kinds.items() if kind not in documented(FORMAT)}
    assert missing == {}, "add a row for each to Kinds of entries in docs/evidence-format.md"


def test_no_kind_is_described_that_nothing_writes() -> None:
    assert sorted(set(documented(FORMAT)) - set(all_written())) == []


def test_each_kind_stands_once() -> None:
    kinds = documented(FORMAT)
    assert sorted(kinds) == sorted(set(kinds))


SAMPLE = """
NEW = "entirely-new"
def one(context):
    context.record(NEW, {})
    context.record("said-in-place", {})
    somewhere.record("not-of-a-ledger", {})
    return TwoPersons(context, "pair", "pa", "command")
"""


def test_a_kind_is_found_in_whatever_way_it_is_named() -> None:
    module = ModuleType("sample")
    exec(SAMPLE, module.__dict__)  # noqa: S102 (a constant of this test)
    found = written("sample.py", ast.parse(SAMPLE), module)
    assert found == {"entirely-new", "said-in-place", *(f"pair-{step}" for step in STEPS_OF_TWO)}
    assert not found & set(documented(FORMAT))


def test_a_kind_that_is_not_understood_is_an_error() -> None:
    tree = ast.parse("context.record(f'{x}-made', {})")
    with pytest.raises(AssertionError, match="as a constant"):
        written("sample.py", tree, ModuleType("sample"))
