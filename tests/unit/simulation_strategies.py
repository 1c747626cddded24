# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Hypothesis strategies for worlds and scripts."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import strategies as st

from hosted_engine.simulate.grammar import MOST_MIB, UNITS, VERBS, Verb, parse_command
from hosted_engine.simulate.script import Script, ScriptLine
from metadata.settings.parse import ClusterSettings, EngineSettings, ScoreWeights, Timing
from simulation.settings import (
    HOST_NAMES,
    STARTS,
    VERSIONS,
    EngineTraits,
    HostTraits,
    WorldSettings,
)

_SECONDS = st.floats(0, 3600, allow_subnormal=False)

_TRAITS = st.builds(
    HostTraits,
    name=st.just(""),
    host_id=st.just(0),
    watchdog=st.booleans(),
    latency_s=st.floats(0, 60),
    version=st.sampled_from(VERSIONS),
    boot_s=_SECONDS,
    gateway=st.booleans(),
    clock_drift_ppm=st.floats(-10_000, 10_000),
    lease=st.sampled_from(["same", "other"]),
)
_CLUSTERS = st.builds(
    ClusterSettings,
    engine=st.builds(
        EngineSettings,
        health_url=st.sampled_from(["", "http://engine.example.org:8080/health"]),
        health_text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20),
    ),
    timing=st.builds(Timing, tick_s=st.floats(0.1, 5), io_timeout_s=st.integers(1, 10)),
    score=st.builds(ScoreWeights, network=st.integers(0, 100_000)),
)


@st.composite
def _hosts(draw: st.DrawFn) -> tuple[HostTraits, ...]:
    names = draw(st.lists(st.sampled_from(HOST_NAMES), min_size=1, unique=True))
    ids = draw(
        st.lists(st.integers(1, 2000), min_size=len(names), max_size=len(names), unique=True)
    )
    return tuple(
        replace(draw(_TRAITS), name=name, host_id=host_id)
        for name, host_id in zip(sorted(names), ids)
    )


WORLDS = st.builds(
    WorldSettings,
    hosts=_hosts(),
    cluster=_CLUSTERS,
    engine=st.builds(EngineTraits, boot_s=_SECONDS, shutdown_s=_SECONDS),
    start=st.sampled_from(STARTS),
    seed=st.integers(0, 2**63 - 1),
)

HOSTS = ("h1", "h2", "h3")
_WORDS = {
    "HOST": st.sampled_from(HOSTS),
    "SECONDS": st.integers(1, 86_400_000).map(lambda ms: f"{ms / 1000:g}"),
    "SHIFT": st.integers(-(10**9) + 1, 10**9 - 1).map(lambda seconds: f"{seconds:+d}"),
    "PPM": st.integers(-10_000, 10_000).map(str),
    "LOAD": st.integers(0, 100).map(lambda percent: f"{percent / 100:g}"),
    "MIB": st.integers(0, MOST_MIB).map(str),
    "FRACTION": st.integers(0, 100).map(lambda percent: f"{percent / 100:g}"),
    "COUNT": st.integers(1, 1_000_000).map(str),
    "SLOT": st.integers(0, 2000).map(str),
    "PATH": st.sampled_from(["/shared/leases", "/a:2M"]),
    "UNIT...": st.lists(
        st.sampled_from([*UNITS, *(f"{unit}.service" for unit in UNITS)]), min_size=1, max_size=3
    ).map(" ".join),
    "TARGET": st.sampled_from([f"qemu+tcp://{host}/system" for host in HOSTS]),
}


def _word(token: str) -> st.SearchStrategy[str]:
    return _WORDS[token] if token in _WORDS else st.sampled_from(token.split("|"))


def command_texts(verb: Verb) -> st.SearchStrategy[str]:
    return st.tuples(*(_word(token) for token in verb.tokens)).map(" ".join)


COMMAND_TEXTS = st.sampled_from(VERBS).flatmap(command_texts)


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    times_s = sorted(draw(st.lists(st.floats(0, 100_000, allow_subnormal=False), max_size=8)))
    events = [ScriptLine(at_s, parse_command(draw(COMMAND_TEXTS), HOSTS)) for at_s in times_s]
    return Script(tuple(events), max(times_s, default=0.0) + draw(st.integers(0, 1000)))
