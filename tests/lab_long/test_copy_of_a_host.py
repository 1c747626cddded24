# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A copy of the engine's host is switched on beside it, with its id and its sanlock name."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.verbs import LabVerbs, scaled

SERVICES = ("sanlock.service", "ha-lockspace.service", "ha-broker.service", "ha-agent.service")
# Not the machine-id, which is made anew for a copy as it should be: these hosts are on one machine,
# and the same installation on the same mainboard passes for the host itself (ADR 31).
COPIED = ("/etc/hosted-engine-ha/host.yaml", "/etc/sanlock/sanlock.conf")
WRITE = 'printf %s "$2" > "$1"'
REFUSED_S = 30.0
# The other sanlock looks at its place every 4 s; were it taken, the engine would end with it.
WATCHED_S = 10.0


def test_a_copy_of_the_engines_host_is_refused_and_the_engine_goes_on(lab: LabVerbs) -> None:
    before = lab.engine_identity()
    original = before[0]
    other = next(name for name in lab.status()["hosts"] if name != original)
    with _made_a_copy(lab, other, original):
        lab("power-on", other)
        lab.wait_until("the refusal", lambda: _is_refused(lab, other, original), scaled(REFUSED_S))
        end_s = time.monotonic() + WATCHED_S
        while time.monotonic() < end_s:
            assert lab.engine_identity() == before
            assert _is_refused(lab, other, original)
            time.sleep(1)
        assert "hosted-engine" not in lab.on(other, "sanlock", "client", "status")
    lab.wait_settled()
    assert lab.engine_identity() == before


def _is_refused(lab: LabVerbs, copy: str, original: str) -> bool:
    asked = lab.attempt("on", copy, "hosted-engine", "--explain")
    named = f"another machine uses the same host id and calls itself {original}, too"
    return named in " ".join(asked.stdout.split())


@contextmanager
def _made_a_copy(lab: LabVerbs, host: str, original: str) -> Iterator[None]:
    """The host has left and is off, as a copy of the other one; afterwards it is itself again."""
    own = {path: lab.on(host, "cat", path) for path in COPIED}
    lab.on(host, "systemctl", "stop", *SERVICES)
    try:
        _write(lab, host, {path: lab.on(original, "cat", path) for path in COPIED})
        lab("power-off", host)
        yield
    finally:
        if lab.status()["hosts"][host]["power"] == "off":
            lab("power-on", host)
        lab.on(host, "systemctl", "stop", *SERVICES)
        _write(lab, host, own)
        lab.on(host, "systemctl", "start", *SERVICES)


def _write(lab: LabVerbs, host: str, files: dict[str, str]) -> None:
    for path, text in files.items():
        lab.on(host, "sh", "-c", WRITE, "sh", path, text)
