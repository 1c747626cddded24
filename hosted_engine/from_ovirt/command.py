# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --import-ovirt``: oVirt's files -> answers for ``--deploy`` and a domain XML.

Nothing of oVirt's is changed, and nothing of it has to run. What is made is checked by the rules
that ``--deploy`` has for it before anything is written.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Callable, Optional

from hosted_engine.deploy.answers import parse_answers, storage_parts
from hosted_engine.errors import EXIT_OK, NOTHING_WRITTEN, CommandError, UsageError
from hosted_engine.from_ovirt.broker_conf import notifications_of
from hosted_engine.from_ovirt.built_domain import built_domain
from hosted_engine.from_ovirt.domain import Storage, domain_of
from hosted_engine.from_ovirt.hosted_engine_conf import (
    BLOCK_TYPES,
    ImportPlaces,
    answers_of,
    domain_type,
)
from hosted_engine.from_ovirt.items import Item, changed, dropped, item_lines
from hosted_engine.from_ovirt.name_value import assignments, last_values
from hosted_engine.from_ovirt.vm_conf import NEED_XML, beside_xml, read_vm_conf
from hosted_engine.host.anew import within_deadline_anew
from hosted_engine.host.error_lines import writing
from hosted_engine.host.given_file import READ_DEADLINE_S, read_given_text
from hosted_engine.host.probes import block_sector_size
from metadata.domain_xml import lease_problems
from metadata.layout import SECTOR_SIZES
from metadata.older_files import older_name
from metadata.settings.remote_places import normal_folder
from world.durable import PRIVATE_FILE_MODE, sync_directory, written_beside

USUAL_HOSTED_ENGINE_CONF = "/etc/ovirt-hosted-engine/hosted-engine.conf"
USUAL_BROKER_CONF = "/var/lib/ovirt-hosted-engine-ha/broker.conf"
USUAL_VM_CONF = "/var/run/ovirt-hosted-engine-ha/vm.conf"
USUAL_ANSWERS = "from-ovirt-answers.yaml"
USUAL_XML = "from-ovirt-engine.xml"
MOST_BYTES = 1024 * 1024

_HEADER = (
    "# Answers for the first host, made of oVirt's files by hosted-engine --import-ovirt:\n"
    "#   hosted-engine --deploy --check --config-append=FILE\n"
    "# Not before oVirt's agents and brokers are stopped on every host (docs/from-ovirt.md).\n"
)


@dataclass(frozen=True)
class ImportRequest:
    """What was asked for; a file that is None is looked for at oVirt's usual place.

    `storage_path` and `mount_point` as in `ImportPlaces`; `answers_file` and `xml_file` are
    written.
    """

    storage_path: str
    mount_point: Optional[str] = None
    hosted_engine_conf: Optional[str] = None
    broker_conf: Optional[str] = None
    vm_conf: Optional[str] = None
    domain_xml: Optional[str] = None
    answers_file: str = USUAL_ANSWERS
    xml_file: str = USUAL_XML
    check: bool = False
    force: bool = False


@dataclass(frozen=True)
class Made:
    """The text of both files, and what became of each thing."""

    answers: str
    xml: str
    items: list[Item]


def run_command(options: argparse.Namespace) -> int:
    """Import with the options of the command line; raises CommandError."""
    return import_ovirt(request_of(options), print)


def request_of(options: argparse.Namespace) -> ImportRequest:
    """What was asked for; raises UsageError."""
    if options.storage_path is None:
        raise UsageError(
            "--import-ovirt needs --storage-path=PATH: the blank volume on which --deploy is to "
            "make the new cluster, never one of oVirt's"
        )
    point = options.mount_point
    return ImportRequest(
        storage_path=options.storage_path,
        mount_point=None if point is None else normal_folder(point),
        hosted_engine_conf=options.hosted_engine_conf,
        broker_conf=options.broker_conf,
        vm_conf=options.vm_conf,
        domain_xml=options.domain_xml,
        answers_file=options.write_answers or USUAL_ANSWERS,
        xml_file=options.write_xml or USUAL_XML,
        check=options.check,
        force=options.force,
    )


def import_ovirt(request: ImportRequest, say: Callable[[str], None]) -> int:
    """Make both, tell of each thing, write them; returns the exit code, raises CommandError."""
    if not request.check:
        _refuse_taken(request)
    made = make(request)
    for line in item_lines(made.items):
        say(line)
    if request.check:
        say(f"--check: {NOTHING_WRITTEN}.")
        return EXIT_OK
    _write(request.xml_file, made.xml, request.force)
    try:
        _write(request.answers_file, made.answers, request.force)
    except CommandError as error:
        raise CommandError(f"{error.message}; {request.xml_file} is written") from error
    say(f"Written: {request.answers_file}, {request.xml_file}. Next, once oVirt's services are")
    say("stopped on every host (docs/from-ovirt.md says in which order):")
    say(f"  hosted-engine --deploy --check --config-append={request.answers_file}")
    return EXIT_OK


# --- making -----------------------------------------------------------------------------------


def make(request: ImportRequest) -> Made:
    """What would be written; raises CommandError."""
    from world.plain_yaml import yaml_text

    path = request.hosted_engine_conf or USUAL_HOSTED_ENGINE_CONF
    values = last_values(assignments(_ovirts(path, "oVirt's hosted-engine.conf")))
    xml_file = str(Path(request.xml_file).absolute())
    places = ImportPlaces(request.storage_path, request.mount_point, xml_file)
    data, items = _of_file(path, lambda: answers_of(values, places))
    notifications, told = _notifications(request.broker_conf)
    if notifications:
        data["notifications"] = notifications
    xml, of_xml = _domain(request, values, data)
    return Made(_HEADER + yaml_text(data), xml, [*items, *told, *of_xml])


def _of_file(path: str, job: Callable[[], Any]) -> Any:
    """Every refusal names the file."""
    try:
        return job()
    except CommandError as error:
        raise CommandError(f"{path}: {error.message}; {NOTHING_WRITTEN}") from error


def _notifications(given: Optional[str]) -> tuple[dict[str, Any], list[Item]]:
    path = given or USUAL_BROKER_CONF
    if given is None and not Path(path).exists():
        return {}, [dropped("broker.conf", f"there is no {path}: nobody will be told by mail")]
    found = [
        replace(one, name=one.name.lower())  # as there
        for one in assignments(_ovirts(path, "oVirt's broker.conf"))
    ]
    made: tuple[dict[str, Any], list[Item]] = _of_file(path, lambda: notifications_of(found))
    return made


def _domain(
    request: ImportRequest, values: Mapping[str, str], data: Mapping[str, Any]
) -> tuple[str, list[Item]]:
    path, xml, items = _source_xml(request)
    answers = parse_answers(data, "the answers made of oVirt's files")
    parts = storage_parts(answers, _sector_size(request.storage_path))
    is_block = domain_type(values) in BLOCK_TYPES
    storage = Storage(values.get("sdUUID", ""), request.mount_point, is_block)
    made: tuple[str, list[Item]] = _of_file(path, lambda: domain_of(xml, parts, storage))
    problems = lease_problems(made[0], parts)
    assert not problems, problems
    return made[0], [*items, *made[1]]


def _sector_size(path: str) -> int:
    """As --deploy finds it; that of a volume that is not connected yet is taken for a disk's."""
    job = partial(block_sector_size, path)
    size = within_deadline_anew(job, f"the storage {path}", READ_DEADLINE_S)
    return size if size in SECTOR_SIZES else max(SECTOR_SIZES)


def _source_xml(request: ImportRequest) -> tuple[str, str, list[Item]]:
    """Where the domain XML comes from, the XML, and what was left aside for it."""
    if request.domain_xml is not None:
        text = read_given_text(request.domain_xml, MOST_BYTES)
        name = older_name(text)
        if name:
            raise CommandError(f"{request.domain_xml}: this is {name}, no domain XML; {NEED_XML}")
        return request.domain_xml, text, []
    path = request.vm_conf or USUAL_VM_CONF
    if request.vm_conf is None and not Path(path).exists():
        raise CommandError(f"there is no {path}; {NEED_XML}; {NOTHING_WRITTEN}")
    conf = _of_file(path, lambda: read_vm_conf(_ovirts(path, "oVirt's vm.conf")))
    if conf.xml:
        return path, conf.xml, beside_xml(conf)
    why = (
        "made of its devices; compare it with 'virsh -r dumpxml HostedEngine' on the engine's host"
    )
    return path, _of_file(path, lambda: built_domain(conf)), [changed("vm.conf", why)]


# --- files ------------------------------------------------------------------------------------


def _ovirts(path: str, what: str) -> str:
    """The text of a file that is, as far as can be told, `what`; raises CommandError."""
    text = read_given_text(path, MOST_BYTES)
    name = older_name(text)
    if name != what and (name or not assignments(text)):
        found = f"this is {name}" if name else "it has no line of the form name=value"
        raise CommandError(f"{path}: {found}, must be {what}; {NOTHING_WRITTEN}")
    return text


def _refuse_taken(request: ImportRequest) -> None:
    """Before anything is read: who asked for a place that is taken learns it at once."""
    if Path(request.answers_file).absolute() == Path(request.xml_file).absolute():
        raise UsageError("--write-answers and --write-xml name one file; allowed: two")
    for path in (request.answers_file, request.xml_file):
        folder = Path(path).absolute().parent
        if Path(path).is_dir() or not folder.is_dir():
            why = "it is a folder" if Path(path).is_dir() else f"there is no folder {folder}"
            raise CommandError(f"{path} can't be written: {why}; {NOTHING_WRITTEN}")
        if not request.force and os.path.lexists(path):
            raise _taken(path)


def _taken(path: str) -> CommandError:
    return CommandError(
        f"{path} is there already; {NOTHING_WRITTEN} to it; --force writes over it, or name "
        "another with --write-answers and --write-xml"
    )


def _write(path: str, text: str, force: bool) -> None:
    """For root's eyes only: a domain XML may have passwords in it. Raises CommandError."""
    target = Path(path).absolute()
    with writing(path):
        try:
            with written_beside(target, text.encode(), mode=PRIVATE_FILE_MODE) as new:
                if force:
                    new.replace(target)
                else:
                    os.link(new, target)  # unlike a rename never over a file that came meanwhile
            sync_directory(target.parent)
        except FileExistsError as error:
            raise _taken(path) from error
