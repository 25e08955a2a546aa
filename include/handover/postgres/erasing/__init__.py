"""Erases rows at the source: what was approved, as it was backed up, and nothing else.

``engine.erase`` is the way in; request.py says what it is given and what it gives back. A run goes so:
the backed-up rows are loaded beside the tables (staging), every row that may go is found, compared and gets
its number (batches), and then transaction by transaction (batch) the rows of the next numbers are deleted in
the version that was compared (deleting), what else changed is counted (effects), and what must stay because
of rows that stay is found (staying). Between transactions others are let through (pace), and more than was
approved stops it (breaker). Where most rows go, emptying does the same in one transaction and puts back what
is kept; method says which way is taken and why, from what shares reads. What the session's role must be
allowed is looked at in rights, and what the server's disk must hold meanwhile in room.
"""
