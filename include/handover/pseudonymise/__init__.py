"""Pseudonyms: keyed, deterministic, in bulk over Arrow columns. What it makes is still personal data."""
