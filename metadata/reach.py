# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a host says of the engine's page as seen from where it stands: lines of the record's text.

``witness=dark; engine on host 1; network good`` is a host's testimony: what it saw of the page,
on which host the engine was then (by its lease), and how its own network is. ``out-of-reach=…``
stands in the record of a host that gave the engine away, for nobody reached it there. Readers that
don't know the lines ignore them; a line that is not exactly so is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Optional

from metadata.value_class import value_class

WITNESS = "witness"
GAVE_AWAY = "out-of-reach"
GAVE_AWAY_TEXT = "the engine was given away, for nobody reached it here"
# Begins a reason of bad health: the page is well, but nobody else sees it.
OUT_OF_REACH = "out of reach of"
KEYS = (WITNESS, GAVE_AWAY)
# At most so many hosts look: those that would take over next.
MOST_WITNESSES = 3

Note = tuple[str, str]


class Sight(str, Enum):
    """What a host sees of the page of an engine that runs elsewhere."""

    REACHED = "reached"  # from the first answer on, well or not
    DARK = "dark"  # after two looks in a row without an answer: one may be a lost packet
    UNKNOWN = "unknown"  # not looked at for 3 ticks and a look's time, or two looks not made


@value_class(frozen=True)
class Testimony:
    """One host's word. `network_good` None: it does not know how its own network is."""

    sight: Sight
    engine_host_id: int
    network_good: Optional[bool] = None


_WORDS = {True: "good", False: "bad", None: "unknown"}
_NETWORKS = {word: value for value, word in _WORDS.items()}
_TEXT = re.compile(
    r"(reached|dark|unknown); engine on host ([0-9]{1,4}); network (good|bad|unknown)", re.ASCII
)


def testimony_text(testimony: Testimony) -> str:
    """The value of its line."""
    return (
        f"{testimony.sight.value}; engine on host {testimony.engine_host_id}; "
        f"network {_WORDS[testimony.network_good]}"
    )


def read_testimony(notes: Iterable[Note]) -> Optional[Testimony]:
    """The testimony in a record's notes; None: there is none, or none that is understood."""
    found = _TEXT.fullmatch(dict(notes).get(WITNESS, ""))
    if found is None:
        return None
    sight, engine_host_id, network = found.groups()
    return Testimony(Sight(sight), int(engine_host_id), _NETWORKS[network])


def reach_notes(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Those of a record's notes that are about reaching the engine."""
    return tuple([note for note in notes if note[0] in KEYS])


def is_network_good(failed_fraction: Optional[float]) -> Optional[bool]:
    """Is the network good by the fraction of probes that failed?

    One lost probe, or two of five, say nothing; None: not known.
    """
    return None if failed_fraction is None else failed_fraction < 0.5
