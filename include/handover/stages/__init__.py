"""One module per stage of a run; the only composers of the packages below them."""
