# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where a libvirt listens, by its address."""

from __future__ import annotations

from typing import Optional

import pytest

from ha_broker.server.libvirt_port import port_at


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("qemu+tls://h2/system", ("h2", 16514, True)),
        ("qemu://h2/system", ("h2", 16514, True)),
        ("qemu+tcp://h2/system", ("h2", 16509, False)),
        ("qemu+tcp://root@h2:2222/system", ("h2", 2222, False)),
        ("qemu+tls://[2001:db8::2]:16515/system", ("2001:db8::2", 16515, True)),
        # Reached by a socket, by a program of its own, or not at all.
        ("qemu:///system", None),
        ("qemu+ssh://root@h2/system", None),
        ("qemu+libssh2://root@h2:2222/system", None),
        ("qemu+unix:///system?socket=/run/sock", None),
        ("qemu+ext://h2/system?command=/usr/bin/nc", None),
        ("qemu+tls://h2:99999/system", None),
        ("qemu+tls://[h2/system", None),
    ],
)
def test_where_a_libvirt_listens(address: str, found: Optional[tuple[str, int, bool]]) -> None:
    assert port_at(address) == found
