# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Which of libvirt's two services a host has, by the files that tell it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosted_engine.host.libvirt_unit import libvirt_hint, libvirt_unit

UNIT_DIR = "usr/lib/systemd/system"
WANTS = "etc/systemd/system"


def host(root: Path, *files: str) -> str:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if ".wants/" in name:
            path.symlink_to("/not/here")
        else:
            path.touch()
    return str(root)


BOTH = (f"{UNIT_DIR}/libvirtd.service", f"{UNIT_DIR}/virtqemud.service")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        # what is enabled
        ((*BOTH, f"{WANTS}/multi-user.target.wants/libvirtd.service"), "libvirtd"),
        ((*BOTH, f"{WANTS}/sockets.target.wants/libvirtd.socket"), "libvirtd"),
        ((*BOTH, f"{WANTS}/sockets.target.wants/virtqemud.socket"), "virtqemud"),
        ((*BOTH, f"{WANTS}/multi-user.target.wants/virtqemud.service"), "virtqemud"),
        (
            (
                *(f"{WANTS}/multi-user.target.wants/libvirtd.service",),
                *(f"{WANTS}/sockets.target.wants/virtqemud.socket",),
            ),
            "virtqemud",
        ),
        # ... though a socket of the other one was left behind
        (
            (f"{WANTS}/multi-user.target.wants/libvirtd.service", "run/libvirt/virtqemud-sock"),
            "libvirtd",
        ),
        # a socket; virtproxyd makes libvirtd's, too
        (("run/libvirt/libvirt-sock",), "libvirtd"),
        (("run/libvirt/libvirt-sock", "run/libvirt/virtqemud-sock"), "virtqemud"),
        # what is installed
        ((f"{UNIT_DIR}/libvirtd.service",), "libvirtd"),
        (("lib/systemd/system/libvirtd.service",), "libvirtd"),
        ((f"{UNIT_DIR}/virtqemud.service",), "virtqemud"),
        (BOTH, "virtqemud"),
        # others of libvirt's are none of the two
        ((f"{WANTS}/sockets.target.wants/virtlogd.socket", f"{UNIT_DIR}/virtqemud-x.service"), ""),
        ((), ""),
    ],
)
def test_it_is_found(tmp_path: Path, files: tuple[str, ...], expected: str) -> None:
    assert libvirt_unit(host(tmp_path, *files)) == expected


def test_the_hint_names_it_or_both(tmp_path: Path) -> None:
    assert libvirt_hint(str(tmp_path)) == "libvirt (see 'systemctl status libvirtd virtqemud')"
    root = host(tmp_path, "run/libvirt/virtqemud-sock")
    assert libvirt_hint(root) == "libvirt (see 'systemctl status virtqemud')"
