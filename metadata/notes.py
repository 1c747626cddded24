"""Names of the notes in a record's text part that programs read."""

from __future__ import annotations

CONFIG_VERSION = "config-version"
"""The version of the shared configuration that the host goes by."""

GLOBAL_MAINTENANCE = "global-maintenance"
"""What the host last knew of global maintenance: True or False."""
