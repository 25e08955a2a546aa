"""All strategies, as a case or data map may name them: one type to validate against."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from handover.pseudonymise.blurring import Constant, Drop, Generalise, Mask, Noise, Null, Shift
from handover.pseudonymise.replacing import Choice, Fpe, Permute, Token

AnyStrategy = Annotated[
    Token | Fpe | Permute | Choice | Mask | Generalise | Shift | Noise | Null | Constant | Drop,
    Field(discriminator="strategy"),
]
STRATEGIES: TypeAdapter[AnyStrategy] = TypeAdapter(AnyStrategy)
