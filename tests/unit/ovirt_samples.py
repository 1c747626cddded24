# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""An OVF and an OVF_STORE as oVirt's portal writes them, written for these tests."""

from __future__ import annotations

import io
import tarfile
from typing import Optional

UUID = "3c1b8f6e-7a47-4f8e-a6c5-0f4b2f1d9a77"
NIC = "8a4f2f66-1c5d-4a8e-9a0d-3d8c2f5b7e10"
MAC = "00:16:3e:6a:7a:f9"

_ENVELOPE = (
    '<?xml version="1.0" encoding="UTF-8"?><ovf:Envelope xmlns:ovf="{space}" '
    'xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/'
    'CIM_ResourceAllocationSettingData" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" ovf:version="4.4.0.0">'
    '<References/><Content ovf:id="out" xsi:type="ovf:VirtualSystem_Type">{content}'
    "</Content></ovf:Envelope>"
)


def ovf(
    uuid: str = UUID,
    name: str = "HostedEngine",
    memory: str = "16384",
    sockets: str = "4",
    cores: str = "1",
    threads: str = "1",
    most_vcpus: str = "64",
    most_memory: str = "65536",
    unit: str = "MegaBytes",
    nics: Optional[str] = None,
    content: str = "",
    space: str = "http://schemas.dmtf.org/ovf/envelope/1/",
) -> bytes:
    """One OVF; `nics` are its network items, `content` is put behind the name."""
    hardware = (
        f"<Item><rasd:ResourceType>3</rasd:ResourceType>"
        f"<rasd:num_of_sockets>{sockets}</rasd:num_of_sockets>"
        f"<rasd:cpu_per_socket>{cores}</rasd:cpu_per_socket>"
        f"<rasd:threads_per_cpu>{threads}</rasd:threads_per_cpu>"
        f"<rasd:max_num_of_vcpus>{most_vcpus}</rasd:max_num_of_vcpus></Item>"
        f"<Item><rasd:ResourceType>4</rasd:ResourceType>"
        f"<rasd:AllocationUnits>{unit}</rasd:AllocationUnits>"
        f"<rasd:VirtualQuantity>{memory}</rasd:VirtualQuantity></Item>"
        f"<Item><rasd:ResourceType>17</rasd:ResourceType>"
        f"<rasd:HostResource>6c4b4fe0/71d3095b</rasd:HostResource><Type>disk</Type></Item>"
        f"{nic() if nics is None else nics}"
    )
    inner = (
        f"<Name>{name}</Name><Priority>0</Priority><TimeZone>Etc/GMT</TimeZone>"
        f"<MaxMemorySizeMb>{most_memory}</MaxMemorySizeMb>{content}"
        f'<Section ovf:id="{uuid}" xsi:type="ovf:OperatingSystemSection_Type"/>'
        f'<Section xsi:type="ovf:VirtualHardwareSection_Type">{hardware}</Section>'
    )
    return _ENVELOPE.format(space=space, content=inner).encode()


def nic(
    mac: str = MAC,
    uuid: str = NIC,
    model: str = "3",
    network: str = "ovirtmgmt",
    linked: str = "true",
    plugged: str = "true",
) -> str:
    """A network card's item."""
    return (
        f"<Item><rasd:InstanceId>{uuid}</rasd:InstanceId>"
        f"<rasd:ResourceType>10</rasd:ResourceType>"
        f"<rasd:ResourceSubType>{model}</rasd:ResourceSubType>"
        f"<rasd:Connection>{network}</rasd:Connection><rasd:Linked>{linked}</rasd:Linked>"
        f"<rasd:Name>vnet0</rasd:Name><rasd:MACAddress>{mac}</rasd:MACAddress>"
        f"<Type>interface</Type><IsPlugged>{plugged}</IsPlugged></Item>"
    )


def store(files: list[tuple[str, bytes]], room: int = 1 << 20) -> bytes:
    """The volume: a tar at its beginning, and what is left of it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in files:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return target.getvalue().ljust(room, b"\0")
