"""``--vm-conf=FILE``: a domain XML for one start, held against the rules of the cluster's own."""

from __future__ import annotations

from pathlib import Path

from hosted_engine.errors import CommandError
from metadata.domain_xml import domain_name, lease_problems
from metadata.error_words import reason, shown
from metadata.errors import DomainXmlError
from metadata.settings.parse import StorageParts


def read_vm_conf(path: str, name: str, parts: StorageParts) -> str:
    """The XML in file `path` for a domain called `name`; raises CommandError naming the file."""
    xml = _read(path)
    try:
        found = domain_name(xml)
    except DomainXmlError as error:
        raise CommandError(f"{path}: {error.why}") from error
    problems = lease_problems(xml, parts)
    if found != name:
        problems.insert(0, f"the domain's name is {shown(found)}, must be {shown(name)}")
    if problems:
        raise CommandError(f"{path}: {'; '.join(problems)}")
    return xml


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: can't be read: {reason(error)}") from error
