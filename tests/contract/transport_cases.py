# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who reaches whose libvirt over TLS, with certificates made as docs/migration.md says.

Not collected by itself: `test_hypervisor` starts it in libvirt_box.sh with a network of its own.
The machine is the host that is to receive the engine; each host that would send it is a folder
with what it has of certificates.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import libvirt
import pytest

from hosted_engine.deploy.checks_migration import CLIENT, SERVER
from tests.contract.hypervisor_cases import answers, wait_until
from tests.contract.places import TIME_FACTOR
from world.network.certificate_files import PemCertificates
from world.network.network_probe import SocketNetworkProbe
from world.ports.certificates import CertificateFiles, Use
from world.ports.errors import HypervisorError
from world.ports.libvirt import DomainState, MigrationOptions
from world.vm import libvirt_migration
from world.vm.libvirt_hypervisor import LibvirtHypervisor
from world.vm.libvirt_migration import Traveller, refusal_why

BOX = Path(os.environ["HE_LIBVIRT_BOX"])
MAKE = Path(__file__).parents[2] / "docs/examples/libvirt-tls/make-certificates"
PAGE = Path(__file__).parents[2] / "docs/migration.md"
LIMIT_S = 60 * TIME_FACTOR
CONF = Path("/etc/libvirt/libvirtd.conf")
QEMU_CONF = Path("/etc/libvirt/qemu.conf")
PKI = Path("/etc/pki")
ENGINE = Traveller(
    *("HostedEngine", "b5a4b0d8-0000-4000-8000-000000000001", "qemu"),
    *("/usr/bin/qemu-system-x86_64", "x86_64", "pc", ""),
)
NOT_TAKEN_THERE = "does not take this host's certificate"
NOT_TAKEN_HERE = "its certificate is not taken here"


@dataclass(frozen=True)
class Authority:
    """Its folder: what the documented script has made, and each host's files below it."""

    folder: Path

    @classmethod
    def of(cls, name: str, *hosts: str, days: int = 730) -> Authority:
        folder = BOX / name
        environment = {**os.environ, "DAYS": str(days)}
        subprocess.run([MAKE, folder, *hosts], check=True, env=environment)
        return cls(folder)

    @property
    def text(self) -> str:
        return (self.folder / "cacert.pem").read_text()

    def pki(self, host: str) -> Path:
        return self.folder / host / "etc/pki"


@pytest.fixture(scope="module")
def ours() -> Authority:
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with Path("/etc/hosts").open("a", encoding="ascii") as hosts:
        hosts.write("127.0.0.1 h1 h2 h3\n")
    return Authority.of("ours", "h1", "h2,127.0.0.1", "h3")


@pytest.fixture(scope="module")
def others() -> Authority:
    return Authority.of("others", "h1", "h2,127.0.0.1")


def sender(name: str, authorities: str, client: Optional[Path]) -> str:
    """What of its address says where this host has its certificates."""
    folder = BOX / "senders" / name
    folder.mkdir(parents=True)
    (folder / "cacert.pem").write_text(authorities)
    if client is not None:
        shutil.copy(client / "libvirt/clientcert.pem", folder)
        shutil.copy(client / "libvirt/private/clientkey.pem", folder)
    return f"?pkipath={folder}"


class Machine:
    """The libvirt here, with certificates in their usual places."""

    def __init__(self) -> None:
        self._pki: Optional[Path] = None
        self._daemon: Optional[subprocess.Popen[bytes]] = None
        more = 'listen_tls = 1\nlisten_tcp = 0\ntls_allowed_dn_list = ["CN=h1", "CN=h2"]\n'
        CONF.write_text(CONF.read_text() + more)
        # Who may come in is asked here, not who holds a lease.
        lines = [line for line in QEMU_CONF.read_text().splitlines() if "lock_manager" not in line]
        QEMU_CONF.write_text("\n".join([*lines, 'migration_host = "h2"', ""]))

    def run_with(self, pki: Path) -> None:
        if pki == self._pki:
            return
        self.end()
        shutil.rmtree(PKI, ignore_errors=True)
        shutil.copytree(pki, PKI)
        with (BOX / "libvirtd.log").open("ab") as log:
            self._daemon = subprocess.Popen(["libvirtd", "--listen"], stdout=log, stderr=log)
        wait_until(knows_machines, LIMIT_S)
        self._pki = pki

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._daemon.send_signal(signal.SIGCONT)

    def end(self) -> None:
        if self._daemon is not None:
            self._daemon.terminate()
            self._daemon.wait(LIMIT_S)
        self._pki = self._daemon = None


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.end()


def knows_machines() -> bool:
    """It answers, and has asked qemu what it can do, which takes seconds the first time."""
    try:
        here = libvirt.open("qemu:///system")
    except libvirt.libvirtError:
        return False
    with contextlib.closing(here):
        return bool(here.getDomainCapabilities(ENGINE.emulator, "x86_64", "pc", "qemu", 0))


def why_not(address: str) -> str:
    with contextlib.closing(libvirt.open("test:///default")) as here:
        return refusal_why(libvirt, address, here, ENGINE)


# --- a host with the right certificate ------------------------------------------------------------


@pytest.fixture
def receiving(machine: Machine, ours: Authority) -> Authority:
    machine.run_with(ours.pki("h2"))
    return ours


@pytest.mark.parametrize("name", ["h2", "127.0.0.1"])
def test_a_host_of_the_cluster_may_ask_it(receiving: Authority, name: str) -> None:
    where = sender(f"right-{name}", receiving.text, receiving.pki("h1"))
    assert why_not(f"qemu+tls://{name}/system{where}") == ""


def test_a_person_asks_as_the_page_says(receiving: Authority) -> None:
    command = "virsh -c qemu+tls://h2/system hostname"
    assert f"\n{command}\n" in PAGE.read_text()
    done = subprocess.run(command.split(), check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "he-libvirt-box"


def test_it_reaches_itself_by_its_address(receiving: Authority) -> None:
    hypervisor = LibvirtHypervisor("qemu:///system", "HostedEngine")
    with contextlib.closing(hypervisor):
        assert hypervisor.not_reached_why("qemu+tls://h2/system") == ""
        assert NOT_TAKEN_HERE in hypervisor.not_reached_why("qemu+tls://h3/system")
        assert "of another host" in hypervisor.not_reached_why("test:///default")
        assert "Connection refused" in hypervisor.not_reached_why("qemu+tls://h2:16515/system")


def test_one_that_is_frozen_is_told_from_one_that_lives(
    machine: Machine, receiving: Authority
) -> None:
    """A host's broker has no certificate, and needs none."""
    tries = SocketNetworkProbe()
    for _ in range(3):
        assert tries.tls("h2", 16514, LIMIT_S).answered
    with machine.frozen():
        assert tries.tcp("h2", 16514, LIMIT_S).answered
        assert not tries.tls("h2", 16514, 1.0).answered
    assert tries.tls("h2", 16514, LIMIT_S).answered
    where = sender("after", receiving.text, receiving.pki("h1"))
    assert why_not(f"qemu+tls://h2/system{where}") == ""


def test_the_files_are_good_where_they_are_looked_for(receiving: Authority) -> None:
    look = PemCertificates().look
    assert [look(SERVER, Use.SERVER, "h2").problem, look(CLIENT, Use.CLIENT).problem] == ["", ""]
    qemu = (str(PKI / "qemu" / name) for name in ("server-cert.pem", "server-key.pem"))
    files = CertificateFiles(*qemu, str(PKI / "qemu/ca-cert.pem"))
    assert look(files, Use.SERVER, "h2").problem == ""
    assert look(files, Use.SERVER, "h3").problem.endswith("is not for the name h3")


@pytest.mark.parametrize("endpoint", ["server", "client"])
def test_qemu_takes_its_own_as_well(receiving: Authority, endpoint: str) -> None:
    credentials = f"tls-creds-x509,id=t,dir={PKI}/qemu,endpoint={endpoint},verify-peer=on"
    command = [ENGINE.emulator, "-machine", "none", "-display", "none", "-nodefaults"]
    ends = '{"execute":"qmp_capabilities"}{"execute":"quit"}'
    subprocess.run(
        [*command, "-qmp", "stdio", "-object", credentials],
        input=ends, text=True, check=True, timeout=LIMIT_S,
    )  # fmt: skip


# --- hosts without it -----------------------------------------------------------------------------


def refused(address: str, why: str) -> None:
    """In one sentence, and with what libvirt said."""
    told = why_not(address)
    assert told.startswith(f"no connection to {address}: ")
    assert why in told
    assert "\n" not in told


def test_one_of_another_authority(receiving: Authority, others: Authority) -> None:
    """It trusts the one it asks; its own is from elsewhere, though of the same name."""
    where = sender("stranger", receiving.text + others.text, others.pki("h1"))
    refused(f"qemu+tls://h2/system{where}", NOT_TAKEN_THERE)


def test_one_with_none(receiving: Authority) -> None:
    where = sender("bare", receiving.text, None)
    refused(f"qemu+tls://h2/system{where}", NOT_TAKEN_THERE)


def test_one_that_is_not_in_the_list(receiving: Authority) -> None:
    where = sender("unlisted", receiving.text, receiving.pki("h3"))
    refused(f"qemu+tls://h2/system{where}", NOT_TAKEN_THERE)


def test_one_with_an_ended_certificate(receiving: Authority, others: Authority) -> None:
    """The library of the one who asks looks at its own first."""
    folder = BOX / "ended"
    shutil.copytree(receiving.folder, folder)
    # OpenSSL 3.5 makes none that ends before it begins; this one is good for its first second.
    subprocess.run([MAKE, folder, "h1"], check=True, env={**os.environ, "DAYS": "0"})
    made_s = time.time()
    wait_until(lambda: time.time() >= made_s + 1)
    ended = sender("ended", receiving.text, Authority(folder).pki("h1"))
    refused(f"qemu+tls://h2/system{ended}", "has expired")


def test_a_receiver_of_another_authority_gets_no_engine(
    machine: Machine, ours: Authority, others: Authority
) -> None:
    where = sender("careful", ours.text, ours.pki("h1"))
    machine.run_with(others.pki("h2"))
    refused(f"qemu+tls://h2/system{where}", NOT_TAKEN_HERE)


def test_a_receiver_that_has_another_hosts_certificate_gets_no_engine(
    machine: Machine, ours: Authority
) -> None:
    where = sender("exact", ours.text, ours.pki("h1"))
    machine.run_with(ours.pki("h3"))
    refused(f"qemu+tls://h2/system{where}", NOT_TAKEN_HERE)


# --- the memory -----------------------------------------------------------------------------------

# The host that sends: its own network, files and libvirt. It waits for its end of the wire.
SENDER = """
set -eu
mount --make-rprivate /
cp -a /etc "$0/etc"
mount --bind "$0/etc" /etc
cp -a /var/cache/libvirt "$0/cache"
mount -t tmpfs tmpfs /run
mkdir /run/libvirt "$0/lib" "$0/log"
for part in lib cache log; do mount --bind "$0/$part" "/var/$part/libvirt"; done
hostname h1
sed -i '/^host_uuid/d; /^listen_tls/d' /etc/libvirt/libvirtd.conf
echo 'host_uuid = "11111111-2222-3333-4444-666666666666"' >> /etc/libvirt/libvirtd.conf
rm -r /etc/pki
cp -a "$1" /etc/pki
echo 192.0.2.2 h2 > /etc/hosts
echo ready
read -r _
ip address add 192.0.2.1/24 dev he-h1
ip link set he-h1 up
ip link set lo up
exec libvirtd
"""
DOMAIN = f"""<domain type='qemu'><name>HostedEngine</name><uuid>{ENGINE.uuid}</uuid>
<memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>{ENGINE.emulator}</emulator></devices></domain>"""


@pytest.fixture
def engine(receiving: Authority, tmp_path: Path) -> Iterator[LibvirtHypervisor]:
    """It runs on h1, which has the right certificates of libvirt's and qemu's."""
    command = ["unshare", "--mount", "--net", "--uts", "bash", "-c", SENDER]
    command += [str(tmp_path), str(receiving.pki("h1"))]
    with (tmp_path / "sender.log").open("wb") as log:
        host = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
    uri = f"qemu+unix:///system?socket=/proc/{host.pid}/root/run/libvirt/libvirt-sock"
    hypervisor = LibvirtHypervisor(uri, "HostedEngine", tmp_path)
    try:
        assert host.stdout is not None
        assert host.stdout.readline() == "ready\n", (tmp_path / "sender.log").read_text()
        wire(
            "link", "add", "he-h2", "type", "veth", "peer", "name", "he-h1", "netns", str(host.pid)
        )
        wire("address", "add", "192.0.2.2/24", "dev", "he-h2")
        wire("link", "set", "he-h2", "up")
        host.stdin.write("\n")  # type: ignore[union-attr]
        host.stdin.flush()  # type: ignore[union-attr]
        wait_until(lambda: answers(hypervisor), LIMIT_S)
        hypervisor.start(DOMAIN)
        yield hypervisor
        hypervisor.destroy()
    finally:
        hypervisor.close()
        host.terminate()
        host.wait(LIMIT_S)


def wire(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextlib.contextmanager
def engine_here() -> Iterator[LibvirtHypervisor]:
    here = LibvirtHypervisor("qemu:///system", "HostedEngine")
    try:
        yield here
    finally:
        here.destroy()
        here.close()


@pytest.mark.parametrize("encrypt", [True, False])
def test_the_engine_comes_from_a_host_of_the_cluster(
    engine: LibvirtHypervisor, encrypt: bool
) -> None:
    with engine_here() as here:
        engine.migrate("qemu+tls://h2/system", MigrationOptions(encrypt=encrypt))
        assert here.domain().state is DomainState.RUNNING
        assert engine.domain().state is DomainState.ABSENT


def test_where_the_agent_has_no_network_its_libvirtd_is_told_the_same(
    engine: LibvirtHypervisor, others: Authority, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libvirt_migration, "may_look", lambda: False)
    machine.run_with(others.pki("h2"))
    with pytest.raises(HypervisorError, match=NOT_TAKEN_HERE):
        engine.migrate("qemu+tls://h2/system", MigrationOptions())
    assert engine.domain().state is DomainState.RUNNING


def test_an_encrypted_engine_does_not_go_to_a_qemu_of_another_authority(
    engine: LibvirtHypervisor, others: Authority
) -> None:
    """It is qemu's own certificates that count for the memory, and they are looked at."""
    right = PKI / "right-qemu"
    (PKI / "qemu").rename(right)
    shutil.copytree(others.pki("h2") / "qemu", PKI / "qemu")
    try:
        with engine_here() as here:
            with pytest.raises(HypervisorError, match=r"certificate|TLS"):
                engine.migrate("qemu+tls://h2/system", MigrationOptions(encrypt=True))
            assert engine.domain().state is DomainState.RUNNING
            assert here.domain().state is DomainState.ABSENT
    finally:
        shutil.rmtree(PKI / "qemu")
        right.rename(PKI / "qemu")


def test_a_silent_libvirt_is_no_refusal(machine: Machine) -> None:
    machine.end()
    hypervisor = LibvirtHypervisor("qemu:///system", "HostedEngine")
    with contextlib.closing(hypervisor), pytest.raises(HypervisorError):
        hypervisor.not_reached_why("qemu+tls://h2/system")
