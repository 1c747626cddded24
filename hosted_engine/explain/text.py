# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--explain`` as text and as JSON: the sentences of its parts, put together. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Optional

from hosted_engine.cli.paragraphs import filled, plain
from hosted_engine.cli.wording import NO_BREAK
from hosted_engine.cluster.facts import Cluster, HostFacts, HostLife
from hosted_engine.explain.advice import advice
from hosted_engine.explain.engine_sentences import engine_sentences
from hosted_engine.explain.host_sentences import heading, host_sentences, penalty_data
from metadata.records import Health


@dataclass(frozen=True)
class Explanation:
    """All sentences: of the engine, of each host, and what can be done."""

    cluster: Cluster
    engine: tuple[str, ...]
    hosts: tuple[tuple[HostFacts, tuple[str, ...]], ...]
    advice: tuple[str, ...]


def explain(cluster: Cluster) -> Explanation:
    """Put everything that is known into sentences."""
    return Explanation(
        cluster=cluster,
        engine=_plain(engine_sentences(cluster)),
        hosts=tuple([(host, _plain(host_sentences(cluster, host))) for host in cluster.hosts]),
        advice=_plain(advice(cluster)),
    )


def _plain(sentences: Sequence[str]) -> tuple[str, ...]:
    """What other hosts wrote goes to a terminal; the blanks that hold a command together stay."""
    return tuple([NO_BREAK.join(map(plain, text.split(NO_BREAK))) for text in sentences])


# --- text -------------------------------------------------------------------------------------


def explanation_text(found: Explanation) -> str:
    """Ends with a newline; lines of at most `WIDTH` columns."""
    parts = ["The engine", _wrapped(" ".join(found.engine), 2), "", "The hosts"]
    for host, sentences in found.hosts:
        parts += [_wrapped(plain(heading(found.cluster, host)), 2), _lines(sentences, 6)]
    parts += ["", "What you can do", _lines(found.advice, 2)]
    return "\n".join(parts) + "\n"


def _lines(sentences: Sequence[str], indent: int) -> str:
    return "\n".join([_wrapped(text, indent) for text in sentences])


def _wrapped(text: str, indent: int) -> str:
    blanks = " " * indent
    return filled(text, blanks, blanks).replace(NO_BREAK, " ")


# --- JSON ---------------------------------------------------------------------------------------


def explanation_json(found: Explanation) -> str:
    """One line: one valid document."""
    cluster = found.cluster
    runner = cluster.runner
    document = {
        "engine": {
            "host": None if runner is None else runner.name,
            "host_id": None if runner is None else runner.host_id,
            "healthy": None if runner is None else _healthy(cluster, runner),
            "sentences": _said(found.engine),
        },
        "global_maintenance": cluster.snapshot.global_maintenance,
        "hosts": [_host_data(host, sentences) for host, sentences in found.hosts],
        "advice": _said(found.advice),
    }
    return json.dumps(document)


def _said(sentences: Sequence[str]) -> list[str]:
    return [text.replace(NO_BREAK, " ") for text in sentences]


def _healthy(cluster: Cluster, host: HostFacts) -> Optional[bool]:
    """None where nobody knows; an old word is no knowledge."""
    old = host.life is not HostLife.SPEAKS or (cluster.blind_s is not None and not host.this)
    return None if old else _KNOWN_HEALTH.get(host.engine.health)


_KNOWN_HEALTH = {Health.GOOD: True, Health.BAD: False}


def _host_data(host: HostFacts, sentences: Sequence[str]) -> dict[str, Any]:
    return {
        "host_id": host.host_id,
        "name": host.name,
        "this_host": host.this,
        "counts": host.speaks,
        "state": host.state,
        "score": host.score,
        "local_maintenance": host.maintenance,
        "time_left_s": None if host.left_s is None else round(host.left_s, 1),
        "penalties": [penalty_data(one) for one in host.penalties],
        "sentences": _said(sentences),
    }
