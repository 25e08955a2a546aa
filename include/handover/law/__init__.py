"""The law as data and arithmetic: policy packs, retention, gates. No database, no clock, no advice."""
