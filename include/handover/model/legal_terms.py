"""Words that policies and matters share. Neither may need a case here: a case carries a matter."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

TransactionType = Literal[
    "equity_transfer",
    "asset_transfer",
    "loan_portfolio_transfer",
    "merger",
    "division",
    "dissolution",
    "bankruptcy",
    "deregistration",
    "vie_termination",
    "ledger_handover",
    "retention",
    "request",
]
# What happens in a living company; only gates that name it are asked of it.
DAILY_TRANSACTIONS: tuple[TransactionType, ...] = ("retention", "request")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=600, strip_whitespace=True)]
Region = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]
Persons = Annotated[int, Field(ge=0)]
Grade = Literal["general", "important", "core"]
# V1 read in the statute, V2 confirmed by a secondary page, V3 by running code, K- general knowledge only.
Status = Literal["V1", "V2", "V3", "K-high", "K-med", "K-low"]
# B blocks execution, C blocks closing, W must be accepted by a named person.
Severity = Literal["B", "C", "W"]
# Law, administrative regulation, ministerial rule, standard, contract or internal rule.
Level = Literal["L", "R", "M", "S", "C"]
RiskLevel = Literal["low", "medium", "high"]
Mechanism = Literal["security_assessment", "standard_contract", "certification"]
Trigger = Literal[
    "fiscal_year",
    "relationship_end",
    "transaction_end",
    "trade_completed",
    "issued",
    "created",
    "completed",
    "contract_end",
    "certificate_expiry",
    "event_end",
    "settlement",
    "period_end",
    "purpose_end",
]
