# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The run book of docs/from-ovirt.md, walked beside areas in the format of oVirt's own tools.

Everything is real but libvirt, systemd and the network (see `command_host`): no engine runs.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from metadata.domain_needs import foreign_marks
from metadata.domain_xml import lease_problems
from metadata.former_writers import CRC_FIELD, checksum
from metadata.layout import MIB
from tests.integration.test_command_deploy import (
    IO_TIMEOUT_S,
    Host,
    Lab,
    Result,
    lab,
)
from tests.unit.older_samples import BROKER_CONF, DOMAIN_XML, HOSTED_ENGINE_CONF
from tests.unit.test_metadata_former_writers import TEXTS, padded_by_bytes, record_text

__all__ = ["lab"]

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "from-ovirt.md").read_text()
_SPACE = "hosted-engine"
_SIZE = 16 * MIB
# It is left after 8 of these without a renewal.
OVIRT_IO_TIMEOUT_S = 5


def record_of(host_id: int) -> str:
    """That of host ovirtN, as the last of oVirt's writers has it."""
    fields = record_text(12, hostname=f"ovirt{host_id}").encode().split(b"|")
    fields[3] = b"%d" % host_id
    fields[CRC_FIELD] = checksum(fields)
    return b"|".join(fields).decode()


class OVirt:
    """oVirt's volumes, as its set-up and its agents leave them, and its files on a host."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.metadata, self.lockspace = folder / "metadata", folder / "lockspace"
        for volume in (self.metadata, self.lockspace):
            volume.write_bytes(bytes(_SIZE))
        with self.metadata.open("r+b") as file:
            file.write(b"maintenance=True\n")
            for host_id in (1, 2):
                file.seek(4096 * host_id)
                file.write(padded_by_bytes(record_of(host_id), TEXTS[12]))
        self._sanlock("direct", "init", "-s", f"{_SPACE}:0:{self.lockspace}:0")
        self.files = {
            "hosted-engine-conf": folder / "hosted-engine.conf",
            "broker-conf": folder / "broker.conf",
            "domain-xml": folder / "engine-now.xml",
        }
        texts = (HOSTED_ENGINE_CONF.replace("dns", "none"), BROKER_CONF, DOMAIN_XML)
        for file_path, text in zip(self.files.values(), texts):
            file_path.write_text(text)

    def join(self, host: Host) -> None:
        """What its broker did: this host is in oVirt's lockspace.

        With an io_timeout with which no slow disk of a test machine makes sanlock leave it.
        """
        place = f"{_SPACE}:1:{self.lockspace}:0"
        options = ("-s", place, "-o", str(OVIRT_IO_TIMEOUT_S))
        self._sanlock("client", "add_lockspace", *options, environment=host.environment)

    def leave(self, host: Host) -> None:
        place = f"{_SPACE}:1:{self.lockspace}:0"
        self._sanlock("client", "rem_lockspace", "-s", place, environment=host.environment)

    def is_joined(self, host: Host) -> bool:
        command = ["sanlock", "client", "status"]
        found = subprocess.run(command, env=host.environment, check=True, capture_output=True)
        return f"{_SPACE}:1:{self.lockspace}:0".encode() in found.stdout

    def bytes_of_all(self) -> tuple[bytes, ...]:
        return (self.metadata.read_bytes(), self.lockspace.read_bytes())

    def import_options(self, lab: Lab) -> list[str]:
        return [
            "--import-ovirt",
            f"--storage-path={lab.volume}",
            *(f"--{name}={path}" for name, path in self.files.items()),
            f"--write-answers={lab.folder / 'answers.yaml'}",
            f"--write-xml={lab.folder / 'engine.xml'}",
        ]

    @staticmethod
    def _sanlock(*words: str, environment: dict[str, str] = dict(os.environ)) -> None:  # noqa: B006
        subprocess.run(["sanlock", *words], env=environment, check=True, capture_output=True)


@pytest.fixture
def ovirt(lab: Lab) -> Iterator[OVirt]:
    yield OVirt(lab.folder / "ovirt")


def onto(lab: Lab, host: Host, volume: Path, *options: str) -> Result:
    """--deploy with the imported answers, but onto that volume."""
    return host.deploy(_answers(lab, volume), *options)


def _answers(lab: Lab, volume: Path) -> Path:
    """As an administrator adds what only he knows: a short io_timeout, and the page."""
    data = yaml.safe_load((lab.folder / "answers.yaml").read_text())
    xml = (lab.folder / "engine.xml").read_text().replace(str(lab.volume), str(volume))
    path = lab.folder / f"answers-{volume.name}.yaml"
    own = path.with_suffix(".xml")
    own.write_text(re.sub(r"<disk .*?</disk>", "", xml, flags=re.DOTALL))
    data["storage"]["path"], data["engine"]["domain_xml_file"] = str(volume), str(own)
    data["sanlock"] = {"io_timeout_s": IO_TIMEOUT_S}
    path.write_text(yaml.safe_dump(data))
    return path


def test_the_run_book_from_its_first_step_to_its_last(lab: Lab, ovirt: OVirt) -> None:
    host = lab.host("h1")
    before = ovirt.bytes_of_all()

    # What would become of it? Then for good, once.
    looked = host.command(*ovirt.import_options(lab), "--check")
    assert looked.code == 0, looked
    assert not (lab.folder / "answers.yaml").exists()
    made = host.command(*ovirt.import_options(lab))
    assert made.code == 0, made
    xml = (lab.folder / "engine.xml").read_text()
    assert lease_problems(xml, lab.parts) == [] and foreign_marks(xml) == []
    again = host.command(*ovirt.import_options(lab))
    assert again.code == 1 and "is there already" in again.err

    # Its hosts still run: our own blank volume is refused, and so are oVirt's.
    ovirt.join(host)
    joined = ovirt.bytes_of_all()
    blank, in_it = lab.volume.read_bytes(), f"{_SPACE}:1:{ovirt.lockspace}:0"
    elsewhere = f"[fail] other lockspace: this host is in another lockspace of that name, {in_it}"
    for volume, why in (
        (lab.volume, elsewhere),
        (ovirt.lockspace, f"it holds a sanlock lockspace '{_SPACE}' that hosts have been in"),
        (ovirt.metadata, elsewhere),
    ):
        for options in ((), ("--force",)):
            refused = onto(lab, host, volume, *options)
            assert refused.code == 1, (volume, options, refused)
            assert why in refused.out + refused.err, (volume, options, refused)
            assert "Traceback" not in refused.err
    assert lab.volume.read_bytes() == blank
    assert ovirt.metadata.read_bytes() == joined[0]
    assert ovirt.is_joined(host)
    assert not host.settings.exists()

    # They have left: oVirt's volumes are still no place for us, the blank one is.
    ovirt.leave(host)
    at_rest = ovirt.bytes_of_all()
    records = onto(lab, host, ovirt.metadata, "--force")
    assert "status records of the hosts ovirt1, ovirt2" in records.err, records
    space = onto(lab, host, ovirt.lockspace, "--force")
    assert "oVirt's own tools have a lockspace of this name" in space.err, space
    assert ovirt.bytes_of_all() == at_rest
    assert at_rest[0] == before[0]
    deployed = onto(lab, host, lab.volume)
    assert deployed.code == 0, deployed
    assert (host.host_id, lab.name_in_slot(1), lab.owned_ids()) == (1, "h1", [1])
    assert lab.config().settings.engine.fqdn == "engine.example.org"
    assert ovirt.bytes_of_all() == at_rest


def test_the_guide_tells_the_steps_in_this_order() -> None:
    """The commands of the run book, as they are walked above."""
    book = GUIDE[GUIDE.index("## The run book") :]
    steps = (
        *("engine-backup", "virsh -r dumpxml", "--import-ovirt --check", "--mode=global"),
        *("shut down", "disable --now ovirt-ha-agent", "sanlock client status"),
        *("--import-ovirt --storage-path", "--deploy --check", "--deploy --config-append"),
    )
    places = [book.index(step) for step in steps]
    assert places == sorted(places)
