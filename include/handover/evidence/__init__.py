"""What proves a transfer: ledger, manifest and the stand-alone program that checks them."""
