# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The files of oVirt's own hosted-engine tools, recognised for what they are. Pure.

Whoever comes from there has them at hand and gives them to us: an answers file of the set-up, and
the daemons' own ``name=value`` files. None of them is YAML or XML, and what a parser says of
them helps nobody.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Optional

from metadata.value_class import value_class

GUIDE = "docs/from-ovirt.md"

_SECTION = re.compile(r"\[([^\[\]]+)\]\s*")
_ASSIGNMENT = re.compile(r"([A-Za-z][A-Za-z0-9_./-]*)[ \t]*=.*")


@value_class(frozen=True)
class _OlderFile:
    """One of them.

    What `what` says is followed by who reads it and what takes its place here. It is recognised by
    the names that it gives values to: `least` of those in `names`, or one that begins with one of
    `prefixes`.
    """

    what: str
    instead: str
    names: frozenset[str] = frozenset()
    least: int = 1
    prefixes: tuple[str, ...] = ()
    reader: str = "nothing here"

    def fits(self, found: frozenset[str]) -> bool:
        """Are these the names of such a file?"""
        begins = self.prefixes and any(name.startswith(self.prefixes) for name in found)
        return bool(begins) or (bool(self.names) and len(found & self.names) >= self.least)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IMPORT = "hosted-engine --import-ovirt"
_BY_HAND = "write the answers by hand, in YAML"
_OLDER_FILES = (
    _OlderFile(
        "an answers file of oVirt's own set-up ([environment:…])",
        _BY_HAND,
        prefixes=("[environment:", "OVEHOSTED_", "OVESETUP_", "HOSTED_ENGINE_CONFIG/"),
    ),
    _OlderFile(
        "oVirt's broker.conf",
        "the section notifications of the shared settings has what it says",
        _words(
            "smtp-server smtp-port smtp-timeout source-email destination-emails state_transition"
        ),
        reader=_IMPORT,
    ),
    _OlderFile(
        "oVirt's agent.conf",
        "the section score of the shared settings has what it says",
        _words(
            "base-score network-score-penalty gateway-score-penalty not-uptodate-config-penalty "
            "mgmt-bridge-score-penalty free-memory-score-penalty cpu-load-score-penalty "
            "engine-retry-score-penalty cpu-load-penalty-min cpu-load-penalty-max"
        ),
    ),
    _OlderFile(
        "oVirt's vm.conf",
        "the engine is a libvirt domain here, in XML",
        _words(
            "vmId vmName memSize smp maxVCpus cpuType emulatedMachine devices "
            "spiceSecureChannels launchPaused displayNetwork xmlBase64 vmType"
        ),
        least=2,
        reader=_IMPORT,
    ),
    _OlderFile(
        "oVirt's hosted-engine.conf",
        "host.yaml is made by hosted-engine --deploy",
        _words(
            "sdUUID spUUID connectionUUID domainType vdsm_use_ssl vm_disk_id "
            "vm_disk_vol_id conf_image_UUID conf_volume_UUID metadata_image_UUID "
            "metadata_volume_UUID lockspace_image_UUID lockspace_volume_UUID vmid"
        ),
        least=2,
        reader=_IMPORT,
    ),
    _OlderFile(
        "oVirt's ha.conf",
        "local maintenance is set by hosted-engine --set-maintenance",
        _words("local_maintenance local_maintenance_manual"),
    ),
)


def older_file(text: str) -> str:
    """Which of these files `text` is and what takes its place, in one line; empty: it is none.

    Only a text that begins as they do is looked at: in a file of ours no line stands at its
    beginning that gives a value by ``=``.
    """
    one = _recognised(text)
    if one is None:
        return ""
    return f"this is {one.what}, which {one.reader} reads: {one.instead} (see {GUIDE})"


def older_name(text: str) -> str:
    """``oVirt's vm.conf``; empty: it is none of them."""
    one = _recognised(text)
    return one.what if one is not None else ""


def _recognised(text: str) -> Optional[_OlderFile]:
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    lines = [line.rstrip() for line in lines if line[0] not in "#;"]
    if not lines or not (_SECTION.fullmatch(lines[0]) or _ASSIGNMENT.fullmatch(lines[0])):
        return None
    found = frozenset(_names(lines))
    return next((one for one in _OLDER_FILES if one.fits(found)), None)


def _names(lines: Iterable[str]) -> Iterable[str]:
    """Those that get a value, and of sections the beginning with its bracket."""
    for line in lines:
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment is not None:
            yield assignment.group(1)
        elif _SECTION.fullmatch(line):
            yield line
