"""What must be true before ``--deploy`` changes anything; each failure says how to mend it."""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import Callable, Optional

from ha_agent.command.deadline import look_at_domain
from ha_agent.command.deploy_answers import Answers
from ha_agent.command.deploy_plan import NewEngine
from ha_agent.command.deploy_world import DeployWorld
from ha_agent.command.errors import CommandError
from ha_broker.world.ports import DomainState, LockspaceAdmin, StorageError, WorldError
from metadata.domain_xml import domain_name, lease_problems
from metadata.errors import DomainXmlError
from metadata.layout import required_sizes
from metadata.settings import StorageParts

DEFAULT_LIBVIRT_URI = "qemu:///system"

_MIB = 1024 * 1024
# sanlock's own choice where nobody set a name: a random UUID before the machine's name.
_RANDOM_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(\..*)?", re.IGNORECASE)


class Checks:
    """Runs checks, says each result, and keeps the failures."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.failures: list[str] = []

    def run(self, name: str, check: Callable[[], Optional[str]]) -> bool:
        """`check` returns what is to be said beside the name; it raises when it failed."""
        try:
            detail = check()
        except (CommandError, WorldError) as error:
            self.failures.append(" ".join(str(error).split()))
            self._say(f"[fail] {name}: {self.failures[-1]}")
            return False
        self._say(f"[ ok ] {name}{f': {detail}' if detail else ''}")
        return True

    def finish(self) -> None:
        """Raise CommandError when anything failed."""
        if self.failures:
            raise CommandError(f"nothing was changed: {'; '.join(self.failures)}")


def check_storage(world: DeployWorld, parts: StorageParts, creates: bool = True) -> str:
    """Each volume exists, is large enough and takes direct I/O.

    A cluster that was made before there was a lock of writers need not have room for it.
    """
    for path, size in required_sizes(parts, config_lease=creates).items():
        _check_volume(world, path, size)
    return f"{parts.lockspace.path}, sectors of {parts.sector_size} bytes"


def _check_volume(world: DeployWorld, path: str, needed: int) -> None:
    try:
        found = world.store.size(path)
        if found < needed:
            raise CommandError(
                f"{path} is too small: it has {found} bytes, {needed} are needed; "
                f"{_enlarge(path, needed)}"
            )
        world.store.probe_direct_io(path)
    except FileNotFoundError as error:
        raise CommandError(f"{path} does not exist; {_make(path, needed)}") from error
    except StorageError as error:
        if error.errno == 2:
            raise CommandError(f"{path} does not exist; {_make(path, needed)}") from error
        raise CommandError(
            f"{path} can't be used: {error.why}; it must be a file or block device on storage "
            "that takes direct I/O (no tmpfs), readable and writable for root and sanlock"
        ) from error


def _enlarge(path: str, needed: int) -> str:
    if _is_block_device(path):
        return "give the device more room"
    return f"enlarge it: truncate -s {_mib(needed)}M {path}"


def _make(path: str, needed: int) -> str:
    return (
        f"make it, on the storage that all hosts share: truncate -s {_mib(needed)}M {path} && "
        f"chown sanlock:sanlock {path} && chmod 660 {path}"
    )


def _mib(size: int) -> int:
    return -(-size // _MIB)


def _is_block_device(path: str) -> bool:
    try:
        return stat.S_ISBLK(Path(path).stat().st_mode)
    except OSError:
        return False


def check_sanlock(lockspace: LockspaceAdmin) -> str:
    """The daemon runs and has a name that stays; raises CommandError."""
    try:
        name = lockspace.daemon_host_name()
    except WorldError as error:
        raise CommandError(f"{error}; start it: systemctl enable --now sanlock") from error
    if _RANDOM_NAME.fullmatch(name):
        raise CommandError(
            f"sanlock's host name is a random one ({name}), with which this host would wait "
            "minutes after each restart; set our_host_name = NAME in /etc/sanlock/sanlock.conf "
            "and restart sanlock"
        )
    return f"its name of this host is {name}"


def check_libvirt(world: DeployWorld, answers: Answers) -> str:
    """libvirt answers and takes leases through sanlock."""
    uri = str(answers.host.get("libvirt_uri", DEFAULT_LIBVIRT_URI))
    try:
        domain = look_at_domain(world.hypervisor(uri, "HostedEngine"))
    except WorldError as error:
        raise CommandError(
            f"libvirt ({uri}) does not answer: {error.why}; start it: systemctl start libvirtd"
        ) from error
    if domain.state is DomainState.UNKNOWN:
        raise CommandError(f"libvirt ({uri}) does not know its domains; restart it")
    if uri == DEFAULT_LIBVIRT_URI and not world.uses_sanlock():
        raise CommandError(
            'libvirt\'s lock manager is not sanlock; set lock_manager = "sanlock" in '
            "/etc/libvirt/qemu.conf (package libvirt-sanlock or libvirt-lock-sanlock) and "
            "auto_disk_leases = 0, require_lease_for_disks = 0 in qemu-sanlock.conf, then "
            "restart libvirt"
        )
    return f"{uri}, lock manager sanlock"


def read_engine(answers: Answers, parts: StorageParts) -> NewEngine:
    """The domain that the answers name, with its lease; raises CommandError."""
    path = str(answers.domain_xml_file)
    try:
        xml = Path(path).read_text(encoding="utf-8")
        name = domain_name(xml)
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"engine.domain_xml_file: {path} can't be read: {error}") from error
    except DomainXmlError as error:
        raise CommandError(f"{path}: {error.why}") from error
    problems = lease_problems(xml, parts)
    if problems:
        raise CommandError(f"{path}: {'; '.join(problems)}")
    return NewEngine(name, xml)
