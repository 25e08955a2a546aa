"""Who may say yes to what: the accounts that a case names for its approvals, and how long an answer holds.

Accounts are those of people who work on the matter, as Airflow knows them, never of customers.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from handover.model.base import Frozen

# The plan is approved by somebody who did not ask for it, the result accepted by the receiving side, and then
# approved again that rows go from the source for good.
What = Literal["execute", "accept", "dispose"]
AccountText = Annotated[str, StringConstraints(pattern=r"^[^\s\x00-\x1f\x7f]{1,250}$")]


class Account(Frozen):
    """An account of Airflow. ``id`` is what the auth manager compares: SimpleAuthManager has the name for it,
    FAB a number, which must then be written beside the name.
    """

    name: AccountText
    id: AccountText

    @property
    def folded(self) -> str:
        """The name as it is compared where a mix-up would let somebody in: without regard to case."""
        return self.name.casefold()


def as_account(value: Any) -> Any:
    """Return what a file says of an account: a name alone is its id too."""
    return {"name": value, "id": value} if isinstance(value, str) else value


NamedAccount = Annotated[Account, BeforeValidator(as_account)]


class Signoff(Frozen):
    """Accounts that may answer, how many different ones must say yes, and how many hours a yes holds."""

    approvers: Annotated[tuple[NamedAccount, ...], Field(min_length=1, max_length=50)]
    count: Annotated[int, Field(ge=1, le=5)] = 1
    expires_hours: Annotated[int, Field(ge=1, le=720)] = 72

    @model_validator(mode="after")
    def _enough_different_accounts(self) -> Signoff:
        for kind, values in (
            ("account", [account.folded for account in self.approvers]),
            ("id", [account.id for account in self.approvers]),
        ):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"approvers names {kind} {twice[0]!r} twice; name each person once")
        if self.count > len(self.approvers):
            raise ValueError(f"count is {self.count}, but approvers names only {len(self.approvers)}")
        return self

    def find(self, name: str, account_id: str) -> Account | None:
        """Return the account with that name and that id."""
        found = (a for a in self.approvers if (a.name, a.id) == (name, account_id))
        return next(found, None)


class Approvals(Frozen):
    """The approvals of a case. The receiving side cannot also be the one that lets the plan be executed, or
    rows be disposed of. Without ``dispose`` nothing is erased or pseudonymised at the source; only where
    nothing is handed over is there nothing to ``accept``.
    """

    execute: Signoff
    accept: Signoff | None = None
    dispose: Signoff | None = None

    @model_validator(mode="after")
    def _sides_differ(self) -> Approvals:
        for what, ours in (("execute", self.execute), ("dispose", self.dispose)):
            for other in ours.approvers if ours else ():
                for account in self.accept.approvers if self.accept else ():
                    if account.folded == other.folded or account.id == other.id:
                        raise ValueError(
                            f"{account.name!r} stands under {what} and under accept; the receiving side"
                            " accepts with accounts of its own"
                        )
        return self

    def of(self, what: What) -> Signoff | None:
        """Return the rule for one of them."""
        return {"execute": self.execute, "accept": self.accept, "dispose": self.dispose}[what]
