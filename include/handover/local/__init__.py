"""This machine: clusters, Airflow and the demo. Only the command line uses it; nothing else may import it."""

from handover.errors import Terminal


class ServiceFailed(Terminal):
    """A server or service of this machine did not start or stop; the message names it, the hint its log."""
