"""A person at Airflow's REST API: logs in with name and password, then sends JSON and receives JSON."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from handover.errors import ConnectionLost
from handover.local import ServiceFailed

# Airflow answers within milliseconds; on a busy machine its single worker may be stuck for a few seconds.
TIMEOUT_SECONDS = 30.0
# Never through a proxy: the service is on this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Api:
    """Airflow at an address, as one person (or as nobody, with an empty token)."""

    base: str
    token: str = ""

    def log_in(self, name: str, password: str) -> Api:
        """The same address as that person."""
        answer = self.send("POST", "/auth/token", {"username": name, "password": password})
        return Api(self.base, answer["access_token"])

    def get(self, path: str) -> Any:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: object = None) -> Any:
        """Send one request; an answer that is no success is an error that says what Airflow said."""
        request = urllib.request.Request(  # noqa: S310  the address is ours
            self.base + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {self.token}"},
        )
        try:
            with _OPENER.open(request, timeout=TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as error:
            raise _refused(method, path, error) from error
        except (urllib.error.URLError, OSError) as error:
            raise ConnectionLost(f"no answer from Airflow at {self.base}: {error}") from error

    def exists(self, path: str) -> bool:
        """Whether there is something at this path."""
        try:
            self.get(path)
        except ServiceFailed as error:
            if error.data["status"] == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


def _refused(method: str, path: str, error: urllib.error.HTTPError) -> ServiceFailed:
    with error:
        said = error.read().decode(errors="replace")
    return ServiceFailed(f"Airflow answered {error.code} to {method} {path}: {said}", status=error.code)
