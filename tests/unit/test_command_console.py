# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--console and --add-console-password: what they run, ask for, tell, and refuse."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Optional
from xml.etree import ElementTree

import pytest

from hosted_engine.errors import CommandError, UsageError
from hosted_engine.vm import console, console_password
from hosted_engine.vm.console_password import Display, chosen, where
from hosted_engine.vm.engine_access import EngineAccess
from metadata.layout import storage_parts
from simulation.world import SimHypervisor, SimLockspace, SimSan, VirtualClock
from tests.unit.command_broker import snapshot
from world.ports.errors import HypervisorError

PTY = "<serial type='pty'><alias name='serial0'/></serial>"
FILE = "<serial type='file'><source path='/var/log/x'/><alias name='serial0'/></serial>"
VNC = "<graphics type='vnc' port='5901' autoport='yes' listen='0.0.0.0'/>"
SPICE = "<graphics type='spice' port='5902' tlsPort='5903' listen='192.0.2.1'/>"
EGL = "<graphics type='egl-headless'/>"


def domain(devices: str) -> str:
    return f"<domain><name>HostedEngine</name><devices>{devices}</devices></domain>"


class Host:
    def __init__(self) -> None:
        clock = VirtualClock()
        san = SimSan(clock)
        self.lockspaces = [SimLockspace(san, name) for name in ("h1", "h2")]
        self.vms = [SimHypervisor(lockspace) for lockspace in self.lockspaces]
        for host_id, lockspace in enumerate(self.lockspaces, start=1):
            lockspace.join(host_id, 10)
            clock.advance(60)
        self.vm = self.vms[1]

    def engine(self, index: int = 1) -> EngineAccess:
        return EngineAccess(
            hypervisor=self.vms[index],
            lockspace=self.lockspaces[index],
            parts=storage_parts("/shared/leases"),
            domain_xml="",
            host_id=index + 1,
            host_name=f"h{index + 1}",
            libvirt_uri="qemu:///system",
            ask_broker=snapshot,
        )


@pytest.fixture
def host() -> Host:
    return Host()


# --- the serial console -----------------------------------------------------------------------


def test_the_console_is_libvirts_own(host: Host) -> None:
    host.vm.start(domain(PTY))
    words = ["virsh", "-c", "qemu:///system", "console", "--devname", "serial0"]
    name = ["--", "HostedEngine"]
    assert console.command_line(host.engine(), force=False) == [*words, *name]
    assert console.command_line(host.engine(), force=True) == [*words, "--force", *name]


def test_the_first_port_that_one_can_type_at_is_taken() -> None:
    second = PTY.replace("serial0", "serial1")
    assert console.pty_device(domain(FILE + second)) == "serial1"
    virtio = "<console type='pty'><alias name='console1'/></console>"
    assert console.pty_device(domain(FILE + virtio)) == "console1"


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        ("", "has no serial console; add <serial type='pty'>"),
        (FILE, "its output goes to /var/log/x"),
        ("<serial type='tcp'/>", "its type is 'tcp'"),
    ],
)
def test_vm_without_a_console_is_refused_with_what_to_add(
    host: Host, devices: str, expected: str
) -> None:
    host.vm.start(domain(devices))
    with pytest.raises(CommandError) as caught:
        console.command_line(host.engine(), force=False)
    assert expected in caught.value.message
    assert "add <serial type='pty'>" in caught.value.message


def test_console_of_a_vm_elsewhere_names_the_host(host: Host) -> None:
    host.vms[0].start(domain(PTY))
    with pytest.raises(CommandError, match=r"not run on this host; .* host h1 \(id 1\)"):
        console.command_line(host.engine(), force=False)


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch, host: Host, tmp_path: Path) -> list[object]:
    """What was executed in place of this process; a virsh is on the path, and a terminal there."""
    host.vm.start(domain(PTY))
    done: list[object] = []
    virsh = tmp_path / "virsh"
    virsh.touch(mode=0o755)
    monkeypatch.setattr(console, "engine_here", host.engine)
    monkeypatch.setattr(console.os, "execv", lambda *words: done.append(words))
    monkeypatch.setattr(console.os, "isatty", lambda _number: True)
    monkeypatch.setenv("PATH", str(tmp_path))
    return done


def run_console() -> None:
    console.run_command(argparse.Namespace(force=False))


def test_virsh_takes_the_process_over(
    executed: list[object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_console()
    ((path, words),) = executed  # type: ignore[misc]
    assert path == str(tmp_path / "virsh")
    assert words[:2] == ["virsh", "-c"]
    assert capsys.readouterr().out == "To leave the console type Ctrl and ].\n"


def test_console_without_a_terminal_is_refused(
    executed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(console.os, "isatty", lambda number: number != 0)
    with pytest.raises(CommandError, match="ssh -t"):
        run_console()
    assert executed == []


def test_console_without_virsh_says_what_to_install(
    executed: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError, match="libvirt-client"):
        run_console()
    assert executed == []


# --- the display's password -------------------------------------------------------------------


@pytest.fixture
def password_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(console_password, "engine_here", host.engine)
    monkeypatch.delenv(console_password.PASSWORD_VARIABLE, raising=False)
    monkeypatch.delenv(console_password.OLDER_VARIABLE, raising=False)
    host.vm.start(domain(EGL + VNC + SPICE))
    yield host


def set_password(
    password: Optional[str], *, generate: bool = False, valid_for: Optional[float] = None
) -> int:
    options = argparse.Namespace(password=password, generate=generate, valid_for=valid_for)
    return console_password.run_command(options)


def test_password_goes_to_every_display_and_expires(
    password_host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    before_s = time.time()
    assert set_password("secret") == 0
    updates = [ElementTree.fromstring(xml) for xml in password_host.vm.updates]
    assert [one.get("type") for one in updates] == ["vnc", "spice"]
    assert [one.get("passwd") for one in updates] == ["secret", "secret"]
    assert [one.get("port") for one in updates] == ["5901", "5902"], "all else stays"
    for one in updates:
        ends_at = time.strptime(f"{one.get('passwdValidTo')} UTC", "%Y-%m-%dT%H:%M:%S %Z")
        assert before_s + 119 <= _utc_s(ends_at) <= time.time() + 120
    assert capsys.readouterr().out.splitlines() == [
        "It lets new viewers in for 120 s; who is in then stays in.",
        "Connect to vnc at h2, port 5901",
        "Connect to spice at 192.0.2.1, port 5902, TLS port 5903",
    ]


def _utc_s(moment: time.struct_time) -> float:
    import calendar

    return calendar.timegm(moment)


def test_time_can_be_chosen(password_host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    set_password("secret", valid_for=7)
    assert "for 7 s" in capsys.readouterr().out


def test_generated_password_is_told(
    password_host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    set_password(None, generate=True)
    told = capsys.readouterr().out.splitlines()[0]
    given = {ElementTree.fromstring(xml).get("passwd") for xml in password_host.vm.updates}
    assert given == {told.removeprefix("The password: ")}
    assert len(given.pop() or "") == 8
    with pytest.raises(UsageError, match="exclude each other"):
        set_password("secret", generate=True)


@pytest.mark.parametrize(
    ("password", "expected"),
    [
        ("", "the password is empty"),
        ("123456789", "has 9 characters; VNC takes 8 at most"),
        ("pass\tword", "printable ASCII"),
        ("pässword", "printable ASCII"),
    ],
)
def test_password_that_no_display_takes_is_refused_and_not_told(
    password_host: Host, password: str, expected: str
) -> None:
    with pytest.raises(CommandError) as caught:
        set_password(password)
    assert expected in caught.value.message
    assert not password or password not in caught.value.message
    assert password_host.vm.updates == []


def test_spice_alone_takes_longer_ones(host: Host) -> None:
    host.vm.start(domain(SPICE))
    console_password.check("123456789", console_password.displays_here(host.engine()))


def test_password_of_the_environment(password_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HE_CONSOLE_PASSWORD", "secret")
    assert chosen(None) == "secret"
    assert chosen("given") == "given"


def test_password_of_the_older_tools_environment(
    password_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVIRT_HOSTED_ENGINE_CONSOLE_PASSWORD", "older")
    assert chosen(None) == "older"
    assert chosen("given") == "given"
    monkeypatch.setenv("HE_CONSOLE_PASSWORD", "secret")
    assert chosen(None) == "secret"
    monkeypatch.setenv("HE_CONSOLE_PASSWORD", "")
    assert chosen(None) == ""  # and is refused: a variable of ours that a script left empty
    monkeypatch.delenv("HE_CONSOLE_PASSWORD")
    monkeypatch.setenv("OVIRT_HOSTED_ENGINE_CONSOLE_PASSWORD", "")
    with pytest.raises(CommandError, match="there is no terminal"):
        chosen(None)


def test_without_a_terminal_it_says_where_to_put_it(password_host: Host) -> None:
    with pytest.raises(CommandError, match=r"HE_CONSOLE_PASSWORD, or .*--generate"):
        chosen(None)


@pytest.mark.parametrize(("again", "expected"), [("secret", "secret"), ("sacret", None)])
def test_typed_twice(
    again: str, expected: Optional[str], password_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["secret", again])
    monkeypatch.setattr(console_password.sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(console_password.getpass, "getpass", lambda _prompt: next(typed))
    if expected:
        assert chosen(None) == expected
    else:
        with pytest.raises(CommandError, match="the two passwords differ"):
            chosen(None)


@pytest.mark.parametrize("devices", ["", EGL])
def test_vm_without_a_display_is_refused_with_what_to_add(host: Host, devices: str) -> None:
    host.vm.start(domain(devices))
    with pytest.raises(CommandError, match=r"no VNC or SPICE display; add <graphics type='vnc'"):
        console_password.displays_here(host.engine())


def test_password_for_a_vm_elsewhere_names_the_host(host: Host) -> None:
    host.vms[0].start(domain(VNC))
    with pytest.raises(CommandError, match=r"not run on this host; .* host h1 \(id 1\)"):
        console_password.displays_here(host.engine())


def test_display_that_takes_none_says_what_it_needs(
    password_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_xml: str) -> None:
        raise HypervisorError("change a device", "Could not set password")

    monkeypatch.setattr(password_host.vm, "update_device", refuse)
    with pytest.raises(CommandError, match=r"Could not set password \(.*had one at the VM's start"):
        set_password("secret")


@pytest.mark.parametrize(
    ("display", "expected"),
    [
        (Display("vnc", "0.0.0.0", 5900), "vnc at h2, port 5900"),
        (Display("vnc", "::", 5900), "vnc at h2, port 5900"),
        (Display("spice", "192.0.2.1", tls_port=5901), "spice at 192.0.2.1, TLS port 5901"),
        (
            Display("vnc", "127.0.0.1", 5900),
            "vnc at 127.0.0.1, port 5900 (from elsewhere: ssh -L 5900:127.0.0.1:5900 h2)",
        ),
        (Display("vnc", socket="/run/vnc"), "vnc at the socket /run/vnc of this host"),
        (Display("spice"), "spice, which listens nowhere"),
    ],
)
def test_where_a_viewer_connects_to(display: Display, expected: str) -> None:
    assert where(display, "h2") == expected


def test_sockets_and_missing_ports_are_seen() -> None:
    xml = domain(
        "<graphics type='vnc' port='-1'><listen type='socket' socket='/run/vnc'/></graphics>"
        "<graphics type='spice'><listen type='none'/></graphics>"
    )
    vnc, spice = console_password.displays(xml)
    assert vnc == Display("vnc", socket="/run/vnc")
    assert spice == replace(spice, port=None, tls_port=None, socket="")
