# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a line of the log tells beside its text: fields by which a journal is searched.

``log.info("it starts", extra=fields(state=State.ENGINE_START))`` gives the journal's entry a field
``HE_STATE=EngineStart``; elsewhere the text stands alone.
"""

from __future__ import annotations

from enum import Enum
from typing import Optional

ATTRIBUTE = "journal_fields"
"""Of a `logging.LogRecord`: what `fields` has made."""

PREFIX = "HE_"

MEANINGS = {
    "HOST_ID": "the host that says it; in every line once the host is deployed",
    "STATE_BEFORE": "the agent's state before, in a line that tells a change of state",
    "STATE": "the agent's state",
    "ROW": "the guards of the row of the state machine that fired (docs/states.md)",
    "LEASE": "free, held or unknown: the engine's lease as this host sees it",
    "LEASE_OWNER": "the host id that stands in the lease, dead or alive",
    "LEASE_GENERATION": "which of that host's lives in the lockspace took the lease",
    "CONFIG_SEQUENCE": "the version of the shared configuration that is in use",
    "EVENT": "what happened to the cluster, by the names of docs/notifications.md",
    "TOPIC": "what a trouble is about; all its lines have the same",
    "TIMES": "how often it was seen since its line was told",
}
"""All fields, without their prefix, and what each says. docs/log.md has this table."""

Fields = dict[str, dict[str, str]]


def fields(**values: Optional[object]) -> Fields:
    """`extra` of a logging call; the names are those of MEANINGS in small letters.

    None leaves a field out. Raises KeyError for a name that there is none of.
    """
    found = {}
    for name, value in values.items():
        key = name.upper()
        MEANINGS[key]  # what the page does not tell of is no field
        if value is not None:
            found[PREFIX + key] = str(value.value if isinstance(value, Enum) else value)
    return {ATTRIBUTE: found}
