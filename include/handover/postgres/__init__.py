"""Everything that speaks to PostgreSQL: pinned sessions, catalog, COPY streams, schema objects."""
