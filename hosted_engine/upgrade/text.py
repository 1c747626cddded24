# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--upgrade-check`` as text and as JSON. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from hosted_engine.cli.paragraphs import filled, plain
from hosted_engine.cluster.facts import HostFacts
from hosted_engine.upgrade.judgement import LOCAL, NONE, HostLook, Judgement

_STEPS = (
    f"{LOCAL}; an engine that runs here moves to another host first",
    "upgrade the packages, which restarts ha-broker and ha-agent; reboot if sanlock, wdmd or the "
    "kernel is among them (docs/upgrade.md)",
    f"{NONE}",
    "'hosted-engine --upgrade-check' on the next host, once all are as they should be",
)


def judgement_text(found: Judgement) -> str:
    """Ends with a newline; lines of at most `WIDTH` columns where words allow."""
    name = found.cluster.this.name
    parts = [f"{plain(name)} may be upgraded now." if found.may else f"Not {plain(name)} now:"]
    parts += _items(found.reasons)
    parts += ["", "The order", *_items([_order(found)])]
    parts += ["", "The hosts", *_items([_host_line(found, host) for host in found.hosts])]
    if found.warnings:
        parts += ["", "While versions are mixed", *_items(found.warnings)]
    if found.may:
        parts += ["", "What to do here", *_items(_STEPS)]
    return "\n".join(parts) + "\n"


def _items(texts: Iterable[str]) -> list[str]:
    return [filled(plain(text), "  - ", "    ") for text in texts]


def _order(found: Judgement) -> str:
    runner = found.cluster.runner
    names = [
        f"{host.name} (the engine's host, last)" if host.facts is runner else host.name
        for host in found.order
    ]
    programs = sorted({host.program.text() for host in found.hosts if host.counts})
    same = f"; all run program {programs[0]}" if len(programs) == 1 else ""
    return f"{', then '.join(names)}{same}"


def _host_line(found: Judgement, host: HostLook) -> str:
    program = host.program
    parts = [host.facts.life.value if not host.facts.this else "this host"]
    if host.facts is found.cluster.runner:
        parts.append("the engine runs there")
    parts.append(f"program {program.text()}")
    if program.feature_version is not None:
        parts.append(f"format {program.parse_version}, features {program.feature_version}")
    if program.config_version is not None:
        parts.append(f"shared configuration {program.config_version}")
    if host.facts is not found.cluster.runner:
        can = f"can't take the engine: {host.cannot_take}" if host.cannot_take else ""
        parts.append(can or "can take the engine alive")
    return f"{host.name}: {'; '.join(parts)}"


def judgement_json(found: Judgement) -> str:
    """One line: one valid document."""
    runner = found.cluster.runner
    document = {
        "host": found.cluster.this.name,
        "may_upgrade": found.may,
        "reasons": list(found.reasons),
        "warnings": list(found.warnings),
        "order": [host.name for host in found.order],
        "engine_host": None if runner is None else runner.name,
        "global_maintenance": found.cluster.snapshot.global_maintenance,
        "hosts": [_host_data(host, runner) for host in found.hosts],
    }
    return json.dumps(document)


def _host_data(host: HostLook, runner: Any) -> dict[str, Any]:
    facts: HostFacts = host.facts
    return {
        "host_id": facts.host_id,
        "name": host.name,
        "this_host": facts.this,
        "life": facts.life.value,
        "counts": host.counts,
        "engine_here": facts is runner,
        "local_maintenance": facts.maintenance,
        "program": host.program.told or None,
        "parse_version": host.program.parse_version,
        "feature_version": host.program.feature_version,
        "unknown_notes": list(host.program.unknown_notes),
        "config_version": host.program.config_version,
        "can_take_engine": not host.cannot_take,
        "cannot_take": host.cannot_take,
        "refused_settings": list(host.refused_settings),
    }
