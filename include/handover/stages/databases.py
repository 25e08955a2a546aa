"""Which connections lead to one database, whatever their ids: the servers are asked, once per process."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field

from handover.errors import ConfigurationMissing, HandoverError
from handover.postgres.identity import database_identity
from handover.postgres.session import connect


@dataclass(frozen=True)
class Databases:
    """The databases of an installation's connections; an answer that a server gave is kept."""

    resolve: Callable[[str], str]
    _known: dict[str, str] = field(default_factory=dict)

    def are_one(self, connection: str, other: str) -> bool:
        """Say whether two connections lead to one database.

        Raises ConfigurationMissing or ConnectionLost when nobody can say.
        """
        if connection == other:
            return True
        return self._identity(connection) == self._identity(other)

    def may_be_one(self, connection: str, other: str) -> bool:
        """Say whether two connections lead to one database, or nobody can say."""
        try:
            return self.are_one(connection, other)
        except HandoverError:
            return True

    def knows(self, connection: str) -> bool:
        """Say whether there is a connection of this id; no run can be opened by one that is not."""
        try:
            return bool(self.resolve(connection))
        except KeyError:
            return False

    def _url(self, connection: str) -> str:
        try:
            return self.resolve(connection)
        except KeyError:
            raise ConfigurationMissing(
                f"nobody can say to which database connection {connection!r} leads: it is not known",
                hint=f"`airflow connections add {connection} --conn-uri postgresql://…`; what is held stays",
            ) from None

    def _identity(self, connection: str) -> str:
        url = self._url(connection)
        if url not in self._known:
            with closing(connect(url, read_only=True)) as session:
                found = database_identity(session)
            if not found:
                raise ConfigurationMissing(
                    f"nobody can say to which database connection {connection!r} leads: its role may not ask",
                    hint="GRANT EXECUTE ON FUNCTION pg_control_system() TO that role; what is held stays",
                )
            self._known[url] = found
        return self._known[url]
