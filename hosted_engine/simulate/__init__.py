"""``--simulate``: a story told in virtual time."""
