# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A copy of a host is switched on beside it, with its id and its sanlock name."""

import re
import subprocess
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
# Each looks whether the place stays as it is, and joins.
JOINED_S = 90.0
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


def test_of_an_original_and_a_copy_that_come_at_once_one_joins_and_the_other_tells(
    lab: LabVerbs,
) -> None:
    """Nothing in the slot says whose it is: each sees an id that nobody uses.

    Whoever loses the place to the other one's join does not take it back.
    """
    before = lab.engine_identity()
    original, copy = sorted(name for name in lab.status()["hosts"] if name != before[0])
    with _made_a_copy(lab, copy, original):
        lab("power-on", copy)
        both = (original, copy)
        for host in both:
            lab.on(host, "systemctl", "stop", "ha-agent", "ha-broker", "ha-lockspace")
        clean = ("--clean-metadata", f"--host-id={original[1:]}", "--force-clean")
        lab.on(before[0], "hosted-engine", *clean)
        _side_by_side(lab, both, "systemctl", "start", "ha-broker", "ha-agent")
        joined, refused = _wait_for_both(lab, both, original)
        generation = _generation(lab, joined)
        end_s = time.monotonic() + WATCHED_S
        while time.monotonic() < end_s:
            assert _is_refused(lab, refused, original)
            assert _generation(lab, joined) == generation, "its place was taken"
            time.sleep(1)
        assert lab.engine_identity() == before
    lab.wait_settled()
    assert lab.engine_identity() == before


def _side_by_side(lab: LabVerbs, hosts: tuple[str, ...], *command: str) -> None:
    running = [subprocess.Popen(lab.command("on", host, *command)) for host in hosts]
    assert [one.wait() for one in running] == [0] * len(running)


def _wait_for_both(lab: LabVerbs, hosts: tuple[str, str], original: str) -> tuple[str, str]:
    """Who has joined, and who is refused."""
    found: list[tuple[str, str]] = []

    def decided() -> bool:
        refused = [host for host in hosts if _is_refused(lab, host, original)]
        joined = [host for host in hosts if host not in refused and _generation(lab, host)]
        found[:] = list(zip(joined, refused)) if len(refused) == 1 else []
        return bool(found)

    lab.wait_until("one of them to be refused", decided, scaled(JOINED_S))
    return found[0]


def _generation(lab: LabVerbs, host: str) -> str:
    """Of its own place, by its own sanlock; empty: it is not in the lockspace."""
    said = lab.attempt("on", host, "sanlock", "client", "gets", "-h", "1").stdout
    own = re.search(r"^s hosted-engine:(\d+):", said, re.MULTILINE)
    if own is None:
        return ""
    listed = re.search(rf"^h {own[1]} gen (\d+) ", said, re.MULTILINE)
    return "" if listed is None else listed[1]


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
