"""Re-identification risk and the search for raw values: pure, on data frames and buffers."""
