# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What libvirt says of a guest agent, with a real guest; run inside libvirt_box.sh.

The agent is a few lines of shell on the guest's end of the channel. It answers two pings, hangs
at the third, and closes its channel when it is asked the fourth.
"""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import guest
from lab.guest import Entry, archive
from tests.contract.hypervisor_cases import answers, start_libvirtd, wait_until
from tests.contract.places import TIME_FACTOR
from tests.contract.test_hypervisor import guest_kernel
from world.ports.errors import HypervisorError
from world.vm.libvirt_hypervisor import LibvirtHypervisor

BOX = Path(os.environ["HE_LIBVIRT_BOX"])
BOOT_LIMIT_S = 60 * TIME_FACTOR
HANG_LIMIT_S = 1.0
MODULES = (
    *("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci"),
    "virtio_console",
)
AGENT = """#!/bin/busybox sh
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t devtmpfs dev /dev
for module in MODULES; do busybox insmod /$module.ko; done
until set -- /dev/vport?p1 && [ -e "$1" ]; do busybox sleep 0.1; done
exec 3<>"$1"
pings=0
while :; do
    # Until libvirt has opened its end there is nothing but an end of file.
    read -r line <&3 || { busybox sleep 0.1; continue; }
    echo "agent: $line"
    case $line in
    *guest-sync*) [ $pings -lt 3 ] && echo "{\\"return\\": ${line//[!0-9]/}}" >&3 ;;
    *guest-ping*) pings=$(( pings + 1 )); [ $pings -lt 3 ] && echo '{"return": {}}' >&3 ;;
    esac
    case $pings$line in 3*guest-sync*) break ;; esac
done
exec 3>&-
while :; do busybox sleep 3600; done
"""
XML = f"""<domain type='qemu'><name>HostedEngine</name>
<uuid>b5a4b0d8-0000-4000-8000-000000000001</uuid><memory unit='MiB'>128</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type><kernel>{BOX}/vmlinuz</kernel>
<initrd>{BOX}/initrd</initrd><cmdline>console=ttyS0 panic=-1</cmdline></os>
<features><acpi/></features><devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
<serial type='file'><source path='{BOX}/console.log'/></serial>CHANNEL</devices></domain>"""
CHANNEL = """<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"""


def make_guest() -> None:
    (BOX / "vmlinuz").write_bytes(guest.kernel(guest_kernel()))
    entries = [Entry(name, stat.S_IFDIR | 0o755) for name in ("bin", "dev", "proc", "sys")]
    entries.append(Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)))
    busybox = Path("/bin/busybox").read_bytes()
    entries.append(Entry("bin/busybox", stat.S_IFREG | 0o755, busybox))
    modules = guest.modules(guest_kernel(), MODULES)
    for name, module in modules.items():
        entries.append(Entry(f"{name}.ko", stat.S_IFREG | 0o644, module))
    script = AGENT.replace("MODULES", " ".join(modules)).encode()
    entries.append(Entry("init", stat.S_IFREG | 0o755, script))
    (BOX / "initrd").write_bytes(archive(entries))


@pytest.fixture
def hypervisor() -> Iterator[LibvirtHypervisor]:
    if not (BOX / "initrd").exists():
        make_guest()
        start_libvirtd()
    hypervisor = LibvirtHypervisor("qemu:///system", "HostedEngine")
    wait_until(lambda: answers(hypervisor))
    yield hypervisor
    hypervisor.destroy()
    hypervisor.close()


def test_a_guest_answers_hangs_and_goes_silent(hypervisor: LibvirtHypervisor) -> None:
    hypervisor.start(XML.replace("CHANNEL", CHANNEL))
    assert hypervisor.ping_guest(1) is False  # it boots
    deadline_s = time.monotonic() + BOOT_LIMIT_S
    while not hypervisor.ping_guest(1):
        assert time.monotonic() < deadline_s, (BOX / "console.log").read_text(errors="replace")
        time.sleep(0.2)
    subprocess.run(["virsh", "-q", "suspend", "HostedEngine"], check=True)
    with pytest.raises(HypervisorError, match="not running"):
        hypervisor.ping_guest(1)
    subprocess.run(["virsh", "-q", "resume", "HostedEngine"], check=True)
    assert hypervisor.ping_guest(5) is True
    begun_s = time.monotonic()
    assert hypervisor.ping_guest(HANG_LIMIT_S) is False  # it hangs
    took_s = time.monotonic() - begun_s
    assert HANG_LIMIT_S * 0.9 < took_s < HANG_LIMIT_S + 2 * TIME_FACTOR
    assert hypervisor.ping_guest(1) is False  # it closed its channel
    assert hypervisor.domain().state.value == "running"


def test_a_domain_without_a_channel_can_not_be_asked(hypervisor: LibvirtHypervisor) -> None:
    hypervisor.start(XML.replace("CHANNEL", ""))
    with pytest.raises(HypervisorError, match="not configured"):
        hypervisor.ping_guest(1)


def test_a_domain_that_is_not_there_can_not_be_asked(hypervisor: LibvirtHypervisor) -> None:
    with pytest.raises(HypervisorError):
        hypervisor.ping_guest(1)
