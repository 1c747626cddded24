"""``--deploy``: look, ask, check, preview, carry out."""
