"""Who sits at the command line: an account of Airflow that shows it by its password.

The same accounts answer approvals there, so that one person is one name in the whole ledger.
"""

from __future__ import annotations

import base64
import json

from handover.local import ServiceFailed
from handover.local.api import Api
from handover.model.approval import Account
from handover.settings import Settings


def account_of(settings: Settings, name: str, password: str) -> Account:
    """Return the account whose password this is; raises ServiceFailed when it is not."""
    try:
        person = Api(settings.require("AIRFLOW__API__BASE_URL")).log_in(name, password)
        return Account(name=name, id=_id_in(person.token))
    except (ServiceFailed, ValueError, LookupError):  # what Airflow says can repeat what was sent to it
        raise ServiceFailed(
            "Airflow did not confirm who you are",
            hint="give an account of Airflow by --as, and its password",
        ) from None


def _id_in(token: str) -> str:
    """Return the id in a token that came from Airflow itself over this connection."""
    body = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["sub"])
