"""Names of the notes in a record's text part that programs read."""

from __future__ import annotations

Notes = tuple[tuple[str, str], ...]
"""Keys and values, in the order in which they stand in the text."""

WHY = "why"
"""Why the host does what it does, for people."""

CONFIG_VERSION = "config-version"
"""The version of the shared configuration that the host goes by."""

GLOBAL_MAINTENANCE = "global-maintenance"
"""What the host last knew of global maintenance: True or False."""

PENALTIES = "penalties"
"""What stands against the host's full score, for people."""
