# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whether this host could take the engine by live migration now, by its own word."""

from __future__ import annotations

from collections.abc import Iterator

from fsm.observation import Observation, Vm
from metadata.settings.migration import address_on
from metadata.settings.parse import HostSettings, MigrationSettings
from metadata.takes_note import TakesNote

MIB = 1024 * 1024


def takes(observation: Observation, host: HostSettings, settings: MigrationSettings) -> TakesNote:
    """Where this host's libvirt takes the engine, or the first thing that stands against it.

    What is not known yet (a monitor without a value) stands against nothing: libvirt asks once
    more before anything moves.
    """
    why = next(_reasons_against(observation), "")
    return TakesNote(why_not=why) if why else TakesNote(address_on(settings.uri, host.reached_at))


def _reasons_against(seen: Observation) -> Iterator[str]:
    """Each is the end of a sentence ("h2 can't take the engine: ...")."""
    condition = seen.condition
    if seen.stop_requested:
        yield "its agent is being stopped"
    if seen.vm is Vm.UNKNOWN:
        yield f"its libvirt is silent: {seen.vm_detail or 'it has not answered yet'}"
    elif seen.vm is not Vm.ABSENT:
        yield "the engine's VM is there already"
    if seen.local_maintenance:
        yield "it is in local maintenance"
    yield from filter(None, (seen.blocked_why, seen.cannot_start_why))
    if condition.config_current is False:
        yield "it does not have the newest shared configuration"
    if condition.memory_sufficient is False:
        yield f"it has too little free memory{_memory_text(seen)}"
    if condition.bridge_up is False:
        detail = f" ({condition.bridge_detail})" if condition.bridge_detail else ""
        yield f"its network bridge is down{detail}"


def _memory_text(seen: Observation) -> str:
    free, needed = seen.condition.memory_free_bytes, seen.condition.memory_needed_bytes
    if free is None or needed is None:
        return ""
    return f" ({free / MIB:.0f} MiB, and {needed / MIB:.0f} MiB are needed)"
