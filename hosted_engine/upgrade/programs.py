# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which version of the program a host runs, as far as its record shows it. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Optional

from ha_broker.api.snapshot import HostView
from metadata.extra_text import PARSE_VERSION
from metadata.notes import CONFIG_VERSION, MOST_CONFIG_VERSION, PROGRAM, number_in
from metadata.own_notes import OWN_KEYS
from metadata.settings.known_since import Version, version_in
from metadata.takes_note import takes_of
from metadata.wire import FEATURE_VERSION

_TOO_NEW = "written by a newer version"  # as `metadata.records.describe_slot_error` says it
# Those that tell no version: before a host could say that it takes the engine, and since then.
_BEFORE_MOVES: Version = ()
_BEFORE_PROGRAM: Version = (0, 1, 0)
_NEWER_THAN_ALL: tuple[float, ...] = (math.inf,)


@dataclass(frozen=True)
class HostProgram:
    """What a host's record says of the program that has written it.

    told             its version, as it says; empty: it says none, or there is no such record
    parse_version    of the record's format; None: there is no record that can be read
    feature_version  likewise
    unknown_notes    lines that this program does not know
    too_new          its record can't be read here: it is of a newer format
    tells_takes      does it say whether it can take the engine alive?
    config_version   of the shared configuration that it goes by; None: it does not say
    """

    told: str = ""
    parse_version: Optional[int] = None
    feature_version: Optional[int] = None
    unknown_notes: tuple[str, ...] = ()
    too_new: bool = False
    tells_takes: bool = False
    config_version: Optional[int] = None

    @property
    def version(self) -> Version:
        """To compare it with others; a program that tells none is older than all that do."""
        found = version_in(self.told)
        if found is not None:
            return found
        return _BEFORE_PROGRAM if self.tells_takes or self.told else _BEFORE_MOVES

    @property
    def rank(self) -> tuple[float, ...]:
        """The same, with formats that can't be read here above all."""
        if self.too_new:
            return _NEWER_THAN_ALL
        return (0.0,) if not self.told else (1.0, *self.version)

    @property
    def is_newer_format(self) -> bool:
        """Does its record hold what this program does not write, though it can be read?"""
        newer = self.feature_version is not None and self.feature_version > FEATURE_VERSION
        return newer or bool(self.unknown_notes)

    def text(self) -> str:
        """For people."""
        if self.too_new:
            return "newer than this host can read"
        return self.told or "older, tells no version"


def program_of(view: HostView) -> HostProgram:
    """From its record and what is wrong with its slot."""
    record = view.record
    too_new = _TOO_NEW in view.error
    if record is None:
        return HostProgram(too_new=too_new)
    notes = dict(record.notes)
    return HostProgram(
        told=notes.get(PROGRAM, ""),
        parse_version=PARSE_VERSION,
        feature_version=record.feature_version,
        unknown_notes=tuple(sorted(set(notes) - OWN_KEYS)),
        too_new=too_new,
        tells_takes=takes_of(record.notes) is not None,
        config_version=number_in(notes.get(CONFIG_VERSION, ""), MOST_CONFIG_VERSION),
    )
