"""Base of all models: frozen, strict about unknown fields, and digestible."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Self

import rfc8785
from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value that never changes after validation and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a validated copy with other values; pydantic's own would keep what was computed before."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return self.model_validate({**values, **(update or {})})

    def document(self) -> dict[str, object]:
        """Return the value as plain JSON types."""
        return self.model_dump(mode="json")

    def sha256_of_json(self) -> str:
        """Return the SHA-256 of the value's RFC 8785 JSON, in hex."""
        return hashlib.sha256(rfc8785.dumps(self.model_dump(mode="json"))).hexdigest()
