"""Frozen, validated facts: case, catalog, plan. No input or output happens here."""
