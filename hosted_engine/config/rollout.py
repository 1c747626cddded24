# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which hosts go by a new version of the shared configuration already.

An agent that has taken one up says in its record when it did so, in seconds of its own clock: a
record that says something else than before the change tells that it has taken one up, and its
broker's note beside it which one is known there: it may be an earlier change that was under way.
"""

from __future__ import annotations

import time
from typing import Optional

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.api.snapshot import Snapshot, hosts_that_say_up
from hosted_engine.cli.wait import follow
from metadata.notes import CONFIG_VERSION, MOST_CONFIG_VERSION, number_in
from metadata.records import HostRecord

OWN_AGENT_S = 3.0
_LOOK_EVERY_S = 0.2
_EACH_LOOKS = "each looks once a minute"


class Rollout:
    """Made before the change; `look` afterwards, once `written` knows its version."""

    def __init__(self, client: BrokerClient) -> None:
        self._client = client
        self._version = 0
        self._error = ""
        self._hosts: dict[str, bool] = {}
        self._own_name = ""
        self._runs_on: Optional[list[str]] = None
        self._before: dict[int, int] = {}
        snapshot = self._snapshot()
        if snapshot is not None:
            self._before = {
                view.host_id: view.record.vm_conf_refresh_s
                for view in snapshot.hosts
                if view.record
            }

    def written(self, version: int) -> None:
        """The change is on the storage, as that version."""
        self._version = version

    @property
    def hosts(self) -> dict[str, bool]:
        """Whether they have it, of the hosts whose agents speak, by name."""
        return dict(self._hosts)

    def look(self) -> None:
        """Ask the broker once."""
        snapshot = self._snapshot()
        if snapshot is None:
            self._hosts = {}
            return
        self._own_name = snapshot.host_name
        self._runs_on = _engines_hosts(snapshot)
        self._hosts = {
            view.record.hostname: self._has(view.host_id, view.record)
            for view in snapshot.hosts
            if view.record is not None and view.agent_speaks
        }

    def _has(self, host_id: int, record: HostRecord) -> bool:
        """Programs that do not say which version they know are taken by the moment alone."""
        if record.vm_conf_refresh_s == self._before.get(host_id):
            return False
        note = dict(record.notes).get(CONFIG_VERSION)
        known = None if note is None else number_in(note, MOST_CONFIG_VERSION)
        return known is None or known >= self._version

    def settle(self) -> None:
        """Look until this host's own agent has it; for a moment only, it may not run."""
        end_s = time.monotonic() + OWN_AGENT_S
        self.look()
        while not self._hosts.get(self._own_name) and not self._error:
            if time.monotonic() > end_s:
                return
            time.sleep(_LOOK_EVERY_S)
            self.look()

    def wait(self, limit_s: float) -> None:
        """Until all have it; raises NotReachedError."""
        follow(self._missing, "all hosts go by the new version", limit_s)

    def text(self) -> str:
        """For people."""
        if self._error:
            return f"Which hosts have it is not known: {self._error}."
        have = [name for name, has in self._hosts.items() if has]
        lack = [name for name, has in self._hosts.items() if not has]
        if not lack:
            return f"All hosts go by it: {', '.join(have) or 'none speaks'}."
        first = f"go by it already: {', '.join(have)}; " if have else ""
        return f"Hosts that {first}do not yet: {', '.join(lack)} ({_EACH_LOOKS})."

    def next_start_text(self) -> str:
        """When a new domain XML is the engine's, for people: a VM that runs was started before."""
        if self._runs_on is None:
            return "The engine's VM, if it runs, goes on as it was started until its next start."
        if not self._runs_on:
            return "The engine's VM gets it at its next start."
        name = self._runs_on[0]
        return (
            f"The engine's VM on {name} was started from an earlier version, and goes on as it was "
            f"started; it gets this one at its next start. At once, when {name} goes by it: "
            "'hosted-engine --set-maintenance --mode=global'; there 'hosted-engine --vm-shutdown "
            "--wait' ('--vm-poweroff' for a guest that does not obey) and 'hosted-engine "
            "--vm-start --wait'; then 'hosted-engine --set-maintenance --mode=none'."
        )

    def _missing(self, _allowed_s: float) -> str:
        self.look()
        lack = [name for name, has in self._hosts.items() if not has]
        return self._error or (f"waiting for {', '.join(lack)}" if lack else "")

    def _snapshot(self) -> Optional[Snapshot]:
        try:
            snapshot = self._client.status()
        except BrokerError as error:
            self._error = str(error)
            return None
        self._error = ""
        return snapshot


def _engines_hosts(snapshot: Snapshot) -> list[str]:
    """Where the engine's VM is, running or paused; libvirt goes before this host's own record."""
    here = [snapshot.host_name] if snapshot.engine.is_here else []
    others = [view for view in hosts_that_say_up(snapshot) if view.host_id != snapshot.host_id]
    return [*here, *(view.name for view in others)]
