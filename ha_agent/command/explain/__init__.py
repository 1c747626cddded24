"""``--explain``: why, in sentences."""
