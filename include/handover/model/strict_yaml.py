"""YAML as people write it by hand, read strictly: what plain YAML would silently change is refused."""

from __future__ import annotations

import re
from typing import Any

import yaml

from handover.errors import HandoverError


class StrictLoader(yaml.SafeLoader):
    """YAML that refuses a key written twice, where plain YAML silently takes the last one.

    Only true and false are truth values, as in YAML 1.2: the key ``on`` is no truth.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 (as the class above has it)
        sign: [one for one in found if one[0] != "tag:yaml.org,2002:bool"]
        for sign, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Say where a value stands that looks, or is tagged, like something that it is not."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError):
            raise yaml.constructor.ConstructorError(
                None, None, "a value that is not what its form or tag says; quote it", node.start_mark
            ) from None


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key_node, _ in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"key {key!r} twice", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


def _text(loader: StrictLoader, node: yaml.ScalarNode) -> str:
    """Refuse text that no database and no JSON can hold; YAML's escapes can write it."""
    value = str(loader.construct_scalar(node))
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value):
        raise yaml.constructor.ConstructorError(
            None, None, "a text with a NUL or half a character", node.start_mark
        )
    return value


StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)
StrictLoader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_SCALAR_TAG, _text)


def read_mapping(
    text: str, what: str, start: str, refusal: type[HandoverError]
) -> tuple[yaml.Node, dict[Any, Any]]:
    """Return a document that must be a mapping, with the node that ``line_of`` wants.

    ``what`` names the file in errors of the class ``refusal``, ``start`` says where to start from.
    """
    try:
        loader = StrictLoader(text)
        root = loader.get_single_node()
        document = loader.construct_document(root) if root else None
    except (yaml.YAMLError, RecursionError) as problem:
        mark = getattr(problem, "problem_mark", None)
        place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = getattr(problem, "problem", None) or "cannot be parsed"
        raise refusal(f"{what} is not YAML{place}: {said}", hint="correct that line") from None
    if root is None or not isinstance(document, dict):
        raise refusal(f"{what} holds {type(document).__name__}, expected a mapping", hint=start)
    return root, document


def line_of(root: yaml.Node | None, field: tuple[int | str, ...]) -> int:
    """Return the line, counted from 1, of the deepest part of ``field`` that the document has."""
    node, line = root, root.start_mark.line + 1 if root else 1
    for part in field:
        found = _below(node, part)
        if found is None:
            break
        line, node = found
    return line


def _below(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line + 1, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line + 1, node.value[part]
    return None
