"""The groups of an audit's checks by their names alone, which a DAG may read without loading the checks."""

NAMES = ("ledger", "evidence", "vault", "keys", "reviews", "documents", "access", "people", "outstanding")
