# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --console``: the engine's serial console, on the host where it runs.

libvirt's own `virsh console` takes this process over: it knows terminals, and whatever happens
to libvirt meanwhile, it stays in the user's hands.
"""

from __future__ import annotations

import argparse
import os
import shutil
from typing import NoReturn, Optional
from xml.etree import ElementTree

from hosted_engine.errors import CommandError
from hosted_engine.vm.engine_access import EngineAccess, ask_libvirt, domain_here, engine_here
from metadata.error_words import shown

VIRSH = "virsh"
ADD_ONE = (
    "add <serial type='pty'><target port='0'/></serial> to the domain XML of the shared "
    "configuration; it counts from the VM's next start"
)
_PTY = "pty"
_STDIN, _STDOUT = 0, 1


def run_command(options: argparse.Namespace) -> NoReturn:
    """Never returns: `virsh console` goes on in this process. Raises CommandError."""
    words = command_line(engine_here(), options.force)
    if not (os.isatty(_STDIN) and os.isatty(_STDOUT)):
        raise CommandError("the console needs a terminal (over ssh: ssh -t)")
    path = shutil.which(VIRSH)
    if path is None:
        raise CommandError(
            f"there is no command {VIRSH}: install libvirt's client (libvirt-client, or on Debian "
            "libvirt-clients)"
        )
    print("To leave the console type Ctrl and ].", flush=True)
    os.execv(path, words)


def command_line(engine: EngineAccess, force: bool) -> list[str]:
    """What to run; raises CommandError when the VM is not here or has no serial console."""
    domain_here(engine)
    device = pty_device(ask_libvirt(engine.hypervisor.live_xml))
    options = ["--force"] if force else []
    words = [VIRSH, "-c", engine.libvirt_uri, "console", "--devname", device, *options]
    return [*words, "--", engine.name]  # which may begin with a dash


def pty_device(xml: str) -> str:
    """libvirt's name of the first serial port that somebody can type at; raises CommandError."""
    root = ElementTree.fromstring(xml)
    ports = [*root.findall("devices/serial"), *root.findall("devices/console")]
    for port in ports:
        alias = port.find("alias")
        if port.get("type") == _PTY and alias is not None:
            return alias.get("name", "")
    raise CommandError(_no_pty_text(ports[0] if ports else None))


def _no_pty_text(port: Optional[ElementTree.Element]) -> str:
    if port is None:
        return f"the engine's VM has no serial console; {ADD_ONE}"
    source = port.find("source")
    path = source.get("path") if source is not None else None
    whither = f"its output goes to {path}" if path else f"its type is {shown(port.get('type'))}"
    return f"nobody can type at the serial console of the engine's VM ({whither}); {ADD_ONE}"
