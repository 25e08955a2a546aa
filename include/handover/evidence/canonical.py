"""The one text form of what is hashed or signed: RFC 8785, without floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import rfc8785

from handover.errors import Terminal


def canonical(value: object, error: type[Terminal], what: str) -> bytes:
    """RFC 8785 bytes; raises ``error`` naming the path of the first part that has no exact form."""
    _refuse_floats(value, "", error, what)
    try:
        return rfc8785.dumps(value)  # type: ignore[arg-type]
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as reason:
        raise error(
            f"{what} has no canonical JSON form: {type(reason).__name__}",
            hint="write integers beyond 2^53 as strings; keys and texts must be valid Unicode",
        ) from None


def _refuse_floats(value: object, path: str, error: type[Terminal], what: str) -> None:
    if isinstance(value, float):
        raise error(
            f"{what} holds a float at {path or 'its top'}",
            hint="write it as a string or an integer",
        )
    if isinstance(value, Mapping):
        for key, item in value.items():
            _refuse_floats(item, f"{path}/{key}", error, what)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, item in enumerate(value):
            _refuse_floats(item, f"{path}/{index}", error, what)
