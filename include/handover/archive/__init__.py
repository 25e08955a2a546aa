"""The archive of retained rows: encrypted Parquet in a BagIt bag, readable without Handover; no database."""
