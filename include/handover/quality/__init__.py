"""Whether data is what it should be: expectation suites and reconciliation; the only place that knows GX."""
