# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Moving the engine alive to another host: what for, where to, and why not elsewhere.

It is wanted for local maintenance or the shutdown of this host, because a person asks for it, or
because this host itself wants it (`fsm.own_moves`).
The target is the best host that says that it can take the engine now; one that turned out not to
is not tried again for the same purpose. Nothing here is needed for safety: the VM's lease goes with
it.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

from fsm.memory import BETTER, MAINTENANCE, OUT_OF_REACH, SHUTDOWN, Memory
from fsm.observation import HostStop, Observation, Peer
from fsm.reach import has_network
from metadata.liveness import Liveness
from metadata.states import State
from metadata.takes_note import OLDER_PROGRAM

NO_REASON = "libvirt gave no reason"


class Wanted(NamedTuple):
    """What the engine is to be moved for (as `Memory.move_for`), and where to; None: anywhere."""

    purpose: str
    to_id: Optional[int] = None


def wanted_move(memory: Memory, observation: Observation) -> Optional[Wanted]:
    """The move that is wanted now, whether it can be made or not; the host's own go first.

    A person's order that came to nothing does not stand in the way of what the host itself wants.
    """
    if memory.state is State.LOCAL_MAINTENANCE_MIGRATE_VM:
        return Wanted(MAINTENANCE)
    if observation.host_stops is HostStop.MIGRATE and observation.global_maintenance is not True:
        return Wanted(SHUTDOWN)
    request = observation.move_request
    asked = None if request is None else Wanted(request.request_id, request.to_id)
    if memory.wants and (asked is None or is_ended(memory, asked)):
        return Wanted(memory.wants, memory.better_id if memory.wants == BETTER else None)
    return asked


def refusals_so_far(memory: Memory, wanted: Wanted) -> tuple[tuple[int, str], ...]:
    """The hosts that did not get the engine for this purpose, each with the reason."""
    return memory.move_refusals if memory.move_for == wanted.purpose else ()


def is_ended(memory: Memory, wanted: Wanted) -> bool:
    """Is nothing more tried for this purpose?"""
    over = memory.move_ended or memory.move_left
    return over and memory.move_for == wanted.purpose


def target(memory: Memory, observation: Observation, most_tries: int) -> Optional[Peer]:
    """The host that is tried next for the move that is wanted; None: there is none."""
    wanted = wanted_move(memory, observation)
    if wanted is None or is_ended(memory, wanted):
        return None
    refused = {host_id for host_id, _ in refusals_so_far(memory, wanted)}
    if len(refused) >= most_tries:
        return None
    found = [
        peer
        for peer in observation.peers
        if wanted.to_id in (None, peer.host_id)
        and peer.host_id not in refused
        and not _why(peer, wanted)
    ]
    return min(found, key=lambda peer: (-peer.score, peer.host_id), default=None)


_REASONS: tuple[tuple[Callable[[Peer], bool], str], ...] = (
    (lambda peer: peer.liveness is not Liveness.LIVE, "sanlock does not call it alive"),
    (lambda peer: not peer.fresh, "its record is old"),
    (lambda peer: peer.stopped, "its agent is stopped"),
    (lambda peer: peer.maintenance, "it is in local maintenance"),
    (lambda peer: bool(peer.takes_not), ""),
    (lambda peer: not peer.takes_at, OLDER_PROGRAM),
)


def why_not(peer: Peer) -> str:
    """Why `peer` can't take the engine alive, as far as is known; empty: it can.

    Its score is not looked at: a person may want a host that nobody would choose.
    """
    for holds, why in _REASONS:
        if holds(peer):
            return why or peer.takes_not
    return ""


def target_why(memory: Memory, observation: Observation) -> str:
    """Why the host to which the engine is to move can't take it any more; empty: it can."""
    found = [peer for peer in observation.peers if peer.host_id == memory.move_target_id]
    return why_not(found[0]) if found else "it has no record any more"


def not_chosen(peer: Peer) -> str:
    """The same for a host that nobody has named: one without points is none to choose."""
    return why_not(peer) or ("its score is 0" if peer.score <= 0 else "")


def _why(peer: Peer, wanted: Optional[Wanted]) -> str:
    if wanted is not None and peer.host_id == wanted.to_id:
        return why_not(peer)
    in_the_dark = wanted is not None and wanted.purpose in OUT_OF_REACH and not has_network(peer)
    return not_chosen(peer) or ("its network is not known to be good" if in_the_dark else "")


def refusals(memory: Memory, observation: Observation) -> tuple[tuple[str, str], ...]:
    """Each other host's name, and why it does not get the engine for the move that is wanted."""
    wanted = wanted_move(memory, observation)
    tried = {} if wanted is None else dict(refusals_so_far(memory, wanted))
    to_id = None if wanted is None else wanted.to_id
    told = [
        (peer.name, tried.get(peer.host_id) or _why(peer, wanted))
        for peer in observation.peers
        if to_id in (None, peer.host_id)
    ]
    return tuple([(name, why) for name, why in told if why])
