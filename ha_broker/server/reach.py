# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whether another host's libvirt is reached from here, for an agent that may not use the network.

Nobody is connected to but where a host of this cluster says in its record that it takes the engine:
an agent that was taken over finds out nothing else with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from ha_broker.api.json_codec import DataError
from ha_broker.api.reach import Reach
from ha_broker.api.snapshot import HostView
from ha_broker.server.libvirt_port import Port, port_at
from metadata.takes_note import takes_told
from metadata.value_class import value_class
from world.ports.errors import WorldError
from world.ports.network import NetworkProbe

SHORTEST_S, LONGEST_S = 0.1, 10.0
NOWHERE = ""
# Who is done in time may say so.
MARGIN_S = 0.3


@value_class(frozen=True)
class ReachBody:
    """Body of PUT /v1/reach."""

    address: str
    timeout_s: float = 3.0


def reach(network: NetworkProbe, hosts: Iterable[HostView], asked: ReachBody) -> Reach:
    """What comes of a try; blocks for its time. Raises DataError for one that can't be."""
    if not SHORTEST_S <= asked.timeout_s <= LONGEST_S:
        bounds = f"{SHORTEST_S:g}..{LONGEST_S:g}"
        raise DataError([f"timeout_s: {asked.timeout_s:g} is not in {bounds}"])
    if asked.address not in {_takes_at(view) for view in hosts} - {NOWHERE}:
        return Reach(None, "no host says that it takes the engine there")
    port = port_at(asked.address)
    if port is None:
        return Reach(None, "it is reached in another way than by a port")
    attempt = _Attempt(network, port, asked.timeout_s)
    thread = threading.Thread(target=attempt.run, name="reach", daemon=True)
    thread.start()
    # The look for a name has no deadline but the name servers' own, which libvirt would wait for.
    thread.join(asked.timeout_s + MARGIN_S)
    return attempt.result


class _Attempt:
    """One try on a thread of its own; `result` is what has come of it so far."""

    def __init__(self, network: NetworkProbe, port: Port, timeout_s: float) -> None:
        self._tries = network.tls if port.tls else network.tcp
        self._port = port
        self._timeout_s = timeout_s
        self._where = f"port {port.port} of {port.host}"
        nothing = f"nothing within {timeout_s:g} s, not even of a name server"
        self.result = Reach(False, f"{self._where}: {nothing}")

    def run(self) -> None:
        """Blocks as long as the name servers do."""
        try:
            found = self._tries(self._port.host, self._port.port, self._timeout_s)
        except WorldError as error:
            self.result = Reach(None, f"{self._where}: {error.why}")
        else:
            self.result = Reach(found.answered, f"{self._where}: {found.detail}")


def _takes_at(view: HostView) -> str:
    """`NOWHERE`: it does not, or nobody knows."""
    return NOWHERE if view.record is None else takes_told(view.record.notes).address
