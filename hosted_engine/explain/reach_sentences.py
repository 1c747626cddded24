# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who reaches the engine and who doesn't, when somebody doesn't: sentences for people. Pure."""

from __future__ import annotations

from fsm.reasons import IN_VAIN, NETWORK_FAILED
from ha_broker.api.takers import not_chosen
from hosted_engine.cli.wording import clause, listed, span
from hosted_engine.cluster.facts import Cluster, HostFacts
from metadata.reach import Sight, Testimony, read_testimony
from metadata.states import State


def reach_sentences(cluster: Cluster, host: HostFacts) -> list[str]:
    """What the others see of the engine on `host`, and what comes of it; mostly nothing."""
    words = {
        view.host_id: testimony
        for view in cluster.snapshot.hosts
        if (record := view.fresh_record) is not None
        if (testimony := read_testimony(record.notes)) is not None
        if testimony.engine_host_id == host.host_id
    }
    dark = _names(cluster, words, Sight.DARK)
    reached = _names(cluster, words, Sight.REACHED)
    if not dark:
        return _without_witness(cluster, host) if not words else []
    if reached:
        return [f"{listed(dark)} can't reach its page, but {listed(reached)} can: it stays."]
    if not any(word.network_good for word in words.values() if word.sight is Sight.DARK):
        return [
            f"{listed(dark)} can't reach its page, which says nothing of the engine, for no "
            "network there is known to be good. It stays."
        ]
    return [f"{listed(dark)} can't reach its page.", *_what_comes_of_it(cluster, host)]


def _names(cluster: Cluster, words: dict[int, Testimony], sight: Sight) -> list[str]:
    return [
        host.name
        for host in cluster.hosts
        if host.host_id in words and words[host.host_id].sight is sight
    ]


def _without_witness(cluster: Cluster, host: HostFacts) -> list[str]:
    if NETWORK_FAILED not in host.why or IN_VAIN in host.why:
        return []
    return [f"No host publishes what it sees of its page. {_ends(cluster, host)}"]


def _what_comes_of_it(cluster: Cluster, host: HostFacts) -> list[str]:
    if IN_VAIN in host.why:
        return [f"It stays: {clause(host.why)}."]
    if NETWORK_FAILED in host.why:
        return [_ends(cluster, host)]
    if host.known_state is State.ENGINE_UP_BAD_HEALTH and host.left_s is not None:
        return [
            f"{host.name}'s own network is good, so the engine's uplink there is broken. Unless "
            f"that changes within {span(host.left_s)}, {host.name} {_first_alive(cluster, host)}"
            "stops it, and the best of the other hosts starts it."
        ]
    return [
        f"That alone moves nothing: {host.name}'s own network would have to fail, too, or all "
        "hosts that look, at least two, would have to agree for a while."
    ]


def _ends(cluster: Cluster, host: HostFacts) -> str:
    isolated_s = cluster.settings.timing.isolated_s
    return (
        f"{host.name}'s own network has failed. If that lasts {isolated_s:g} s (isolated_s), "
        f"{host.name} {_first_alive(cluster, host)}stops it, and the best host that has its "
        "network starts it."
    )


def _first_alive(cluster: Cluster, host: HostFacts) -> str:
    """Of a move alive, where that may be: to whom is told elsewhere."""
    limit_s = cluster.settings.migration.out_of_reach_s
    able = any(not not_chosen(one.view) for one in cluster.hosts if one is not host)
    if not limit_s or not able:
        return ""
    return f"tries for {limit_s:g} s (out_of_reach_s) to move it while it runs; else it "
