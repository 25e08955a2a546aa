"""Finds personal data in columns, free text and JSON, and proposes a data map; values stay in memory."""
