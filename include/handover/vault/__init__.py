"""Where encrypted bytes and the keys to them are kept; what is read back is trusted only after a check."""
