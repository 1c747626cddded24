"""``--export-status``: what a supporter needs."""
