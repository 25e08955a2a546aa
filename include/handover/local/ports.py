"""Free TCP ports on this machine's loopback address; that may change until a start."""

from __future__ import annotations

import secrets
import socket

from handover.errors import ConfigurationMissing

# Below 32768, where Linux begins to hand out ports to outgoing connections: those would take ours at random.
_FIRST, _LAST = 20000, 32000


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still winding down is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_block(size: int, favourite: int | None = None) -> int:
    """The first of consecutive free ports: the favourite, else at random so that starts rarely meet."""
    for attempt in range(1000):
        first = favourite if favourite and not attempt else _FIRST + secrets.randbelow(_LAST - _FIRST)
        if all(is_free(port) for port in range(first, first + size)):
            return first
    raise ConfigurationMissing(
        f"no {size} free ports in a row between {_FIRST} and {_LAST} on 127.0.0.1",
        hint="set HANDOVER_PORT to the first of some that are free",
    )
