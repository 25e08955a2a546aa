"""Which connections lead to one database, whatever their ids: the servers are asked, once per process."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import closing
from dataclasses import dataclass, field

from handover.errors import ConfigurationMissing, HandoverError
from handover.postgres.identity import database_identity
from handover.postgres.session import connect


@dataclass(frozen=True)
class Databases:
    """The databases of an installation's connections; an answer that a server gave is kept."""

    resolve: Callable[[str], str]
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def are_one(self, connection: str, other: str, recorded: Collection[str] = ()) -> bool:
        """Say whether two connections lead to one database.

        ``recorded``: what the database of the second said that it is, for when it is gone. Raises
        ConfigurationMissing or ConnectionLost when nobody can say.
        """
        if connection == other:
            return True
        found = self._identity(connection)
        try:
            return found == self._identity(other)
        except HandoverError:
            if not recorded:
                raise
            return found in recorded

    def may_be_one(self, connection: str, other: str, recorded: Collection[str] = ()) -> bool:
        """Say whether two connections lead to one database, or nobody can say."""
        try:
            return self.are_one(connection, other, recorded)
        except HandoverError:
            return True

    def knows(self, connection: str) -> bool:
        """Say whether there is a connection of this id; no run can be opened by one that is not."""
        try:
            return bool(self.resolve(connection))
        except KeyError:
            return False

    def _url(self, connection: str) -> str:
        if self.knows(connection):
            return self.resolve(connection)
        raise ConfigurationMissing(
            f"nobody can say to which database connection {connection!r} leads: it is not known",
            hint=f"`airflow connections add {connection} --conn-uri postgresql://…`; what is held stays",
        )

    def _identity(self, connection: str) -> str:
        if connection not in self._known:
            with closing(connect(self._url(connection), read_only=True)) as session:
                found = database_identity(session)
            if not found:
                raise ConfigurationMissing(
                    f"nobody can say to which database connection {connection!r} leads: its role may not ask",
                    hint="GRANT EXECUTE ON FUNCTION pg_control_system() TO that role; what is held stays",
                )
            self._known[connection] = found
        return self._known[connection]
