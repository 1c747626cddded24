# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Domain XMLs that libvirt takes and refuses when it only looks; the fake must agree.

`BASE` has to be taken by every reader. In `BY_ANY_DRIVER` are those that any driver of libvirt's
refuses when it reads them, its test driver too; in `BY_QEMU` those of which only the one for qemu
knows that they can't be.
"""

from __future__ import annotations

BASE = """<domain type='qemu'><name>HostedEngine</name>
<uuid>b5a4b0d8-0000-4000-8000-000000000001</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
<os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices></domain>"""


def with_device(device: str) -> str:
    return BASE.replace("</devices>", f"{device}</devices>")


TAKEN = {
    "as it is": BASE,
    "no emulator": BASE.replace("<emulator>/usr/bin/qemu-system-x86_64</emulator>", ""),
    "no machine": BASE.replace(" machine='pc'", ""),
    "no vcpu": BASE.replace("<vcpu>1</vcpu>", ""),
    "an element that nobody knows": with_device("<nonsense/>"),
    "a disk that is not here": with_device(
        "<disk type='file'><source file='/nowhere/disk'/><target dev='vda' bus='virtio'/></disk>"
    ),
    "a bridge that is not here": with_device(
        "<interface type='bridge'><source bridge='nowhere0'/><model type='virtio'/></interface>"
    ),
    "a lease of others": with_device(
        "<lease><lockspace>a</lockspace><key>b</key><target path='/nowhere/lease'/></lease>"
    ),
    "oVirt's notes": BASE.replace(
        "<memory",
        "<metadata><v:vm xmlns:v='http://ovirt.org/vm/1.0'><v:x>1</v:x></v:vm></metadata><memory",
        1,
    ),
}
BY_ANY_DRIVER = {
    "no XML": "<domain",
    "no type": BASE.replace(" type='qemu'", ""),
    "no name": BASE.replace("<name>HostedEngine</name>", ""),
    "no os": BASE.replace("<os><type arch='x86_64' machine='pc'>hvm</type></os>", ""),
    "no memory": BASE.replace("<memory unit='MiB'>64</memory>", ""),
    "vcpu in words": BASE.replace("<vcpu>1</vcpu>", "<vcpu>many</vcpu>"),
    "a lease without a place": with_device("<lease><lockspace>a</lockspace><key>b</key></lease>"),
    "a card without a bridge": with_device("<interface type='bridge'/>"),
    "a disk without a name": with_device("<disk type='file'><source file='/x'/></disk>"),
}
BY_QEMU = {
    "another machine": BASE.replace("machine='pc'", "machine='pc-q35-rhel8.6.0'"),
    "another emulator": BASE.replace("/usr/bin/qemu-system-x86_64", "/usr/libexec/qemu-kvm"),
}
