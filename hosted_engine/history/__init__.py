"""``--history``: told and drawn."""
