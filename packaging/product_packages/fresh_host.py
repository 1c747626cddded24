# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What is checked on a fresh host: from the bare one to the engine's guard, and back again.

The watchdog and real-time scheduling are left out, which a container can't have. No VM is run: the
engine's lease is held by a process that does nothing, started through sanlock as qemu is.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Callable, Optional, Union

from product_packages.debian import lint_deb
from product_packages.errors import PackagingError
from product_packages.files import COMPAT_NAME, MODULES, NAME, PROGRAMS
from product_packages.install_page import CHECK, commands, document, section
from product_packages.main import build
from product_packages.rpm import lint_rpm
from product_packages.snapshot import differences, snapshot
from product_packages.sources import EPOCH_VARIABLE, read_sources
from product_packages.tools import run

# Beside what docs/install.md installs.
TOOLS = ("lintian", "python3-setuptools", "python3-wheel", "rpm", "rpmlint", "python3-pip")
DAEMONS = ("ha-broker", "ha-agent")
LEASES = "/srv/san/leases"
# As an agent leaves it behind: the next one stays in local maintenance, and starts no engine.
LOCAL_MAINTENANCE = "/var/lib/hosted-engine-ha/local-maintenance"
# Recommended: --deploy asks libvirt whether it can make the engine's VM.
QEMU = "qemu-system-x86"
HOME = Path("/root")
APT_SETTINGS = """\
APT::Get::Assume-Yes "true";
APT::Install-Recommends "false";
Dpkg::Use-Pty "0";
"""
INSTALL = "apt-get install"
WITHIN_S = 120.0
NO_QUESTIONS = {"DEBIAN_FRONTEND": "noninteractive", "HOME": str(HOME)}
# A container has neither a watchdog nor real-time scheduling.
SANLOCK = """\
[Service]
Environment=SANLOCK_PRIVILEGED=0
ExecStart=
ExecStart=/usr/sbin/sanlock daemon -w 0 -h 0 -l 0
"""
# Joining takes 2.5 times as long.
SHORT_TIMES = "sanlock: {io_timeout_s: 1}\n"
DOMAIN = """\
<domain type='qemu'><name>HostedEngine</name><memory>65536</memory><os><type>hvm</type></os>
<devices><lease><lockspace>hosted-engine</lockspace><key>engine</key>
<target path='{leases}' offset='1048576'/></lease></devices></domain>
"""
COMPAT = (
    "from ovirt_hosted_engine_ha.client.client import HAClient; print(HAClient().is_deployed())"
)


def check_here(source: Path) -> None:
    """Check all, on this host, which is to be thrown away; raises PackagingError."""
    sources = read_sources(source)
    page = (source / "docs/install.md").read_text(encoding="utf-8")
    _write("/etc/apt/apt.conf.d/99check", APT_SETTINGS)
    # The host is thrown away; waiting for its disk takes minutes.
    _write("/etc/dpkg/dpkg.cfg.d/check", "force-unsafe-io\n")
    run(["apt-get", "update"])
    run_lines(section(page, "Building the package"), source, epoch_s=sources.epoch_s)
    _install(*TOOLS)
    with tempfile.TemporaryDirectory(prefix="hosted-engine-check-") as name:
        folder = Path(name)
        old = build("deb", sources, folder / "old", twice=True)
        say(f"built twice, byte by byte the same: {', '.join(path.name for path in old)}")
        build("wheel", sources, folder / "wheel", twice=True)
        say("the wheels, too")
        new = build("deb", sources.next_version(folder), folder / "new", twice=False)
        lint_deb(sources, old)
        say(f"lintian {run(['lintian', '--version']).split()[-1]} has nothing to say")
        rpms = build("rpm", sources, folder / "rpm", twice=True)
        say(f"built twice, byte by byte the same: {', '.join(path.name for path in rpms)}")
        lint_rpm(sources, rpms)
        say(f"rpmlint {run(['rpmlint', '--version']).strip()} has nothing to say")
        Host(sources.version, old, new, page).check()
    say("all is as it should be")


def say(text: str) -> None:
    """One line for each thing that was found to be so."""
    print(f"ok  {text}", flush=True)


def _install(*packages: Union[str, Path]) -> None:
    run(["apt-get", "install", *map(str, packages)], more=NO_QUESTIONS)


class Host:
    """This host, with a package and its next version."""

    def __init__(self, version: str, old: Sequence[Path], new: Sequence[Path], page: str) -> None:
        self._version = version
        self._old = _product(old)
        self._new = _product(new)
        self._compat = next(path for path in old if path != self._old)
        self._page = page

    def check(self) -> None:
        """From installing to purging; raises PackagingError."""
        self._install_dependencies()
        every_host = section(self._page, "On every host")
        # What the administrator sets is no trace of the package, so that comes first here.
        run_lines(every_host, self._old.parent, but=INSTALL)
        before = snapshot(Path("/"))
        run_lines(every_host, self._old.parent, only=INSTALL)
        self._check_installed()
        self._check_compat()
        deploy(self._page)
        holder = hold_the_lease()
        try:
            self._check_upgrade(holder)
            self._check_removal(holder)
        finally:
            holder.kill()
            holder.wait()
        self._check_traces(before)

    def _install_dependencies(self) -> None:
        """By themselves, so that what they leave behind is not taken for ours."""
        told = run(["apt-get", "--simulate", "install", str(self._old)])
        found = re.findall(r"^Inst (\S+)", told, re.MULTILINE)
        _install(QEMU, *(package for package in found if package != NAME))
        do_without_a_watchdog()
        say(f"{len(found) - 1} packages that it depends on were not there, all of this release")

    def _check_installed(self) -> None:
        for unit in (*DAEMONS, "ha-lockspace"):
            expect(unit, state(unit), ("inactive", "disabled" if unit in DAEMONS else "static"))
        expect("--version", run(["hosted-engine", "--version"]).strip().split()[-1], self._version)
        told = subprocess.run(["hosted-engine", "--vm-status"], capture_output=True, text=True,
                              check=False)  # fmt: skip
        expect("--vm-status, exit code", told.returncode, 1)
        if "You must run deploy first" not in told.stdout + told.stderr:
            raise PackagingError(f"--vm-status said {told.stdout + told.stderr!r}")
        units = [f"{unit}.service" for unit in (*DAEMONS, "ha-lockspace", "libvirt-guests")]
        said = run(["systemd-analyze", "verify", "--man=no", *units])
        ours = [line for line in said.splitlines() if re.search(r"\bha-|hosted-engine", line)]
        expect("systemd-analyze verify", ours, [])
        drop_ins = _show("libvirt-guests", "DropInPaths")
        if "hosted-engine-ha.conf" not in drop_ins:
            raise PackagingError(f"libvirt-guests has the drop-ins {drop_ins!r}")
        for daemon in DAEMONS:
            run([f"/{PROGRAMS}/{daemon}", "--version"])
        say("installed: nothing started, nothing enabled; the commands say that it is undeployed")

    def _check_compat(self) -> None:
        _install(self._compat)
        expect("is_deployed()", run(["python3", "-c", COMPAT]).strip(), "False")
        run(["apt-get", "purge", COMPAT_NAME], more=NO_QUESTIONS)
        say("compat: callers find the client, and it goes away again")

    def _check_upgrade(self, holder: subprocess.Popen[bytes]) -> None:
        before = {unit: _run_of(unit) for unit in (*DAEMONS, "ha-lockspace", "sanlock")}
        _install(self._new)
        for unit in DAEMONS:
            wait(f"{unit} runs", lambda unit=unit: state(unit)[0] == "active")  # type: ignore[misc]
        after = {unit: _run_of(unit) for unit in before}
        restarted = [unit for unit in before if before[unit] != after[unit]]
        expect("restarted by the upgrade", restarted, list(DAEMONS))
        shown = run(["hosted-engine", "--version"]).strip().split()[-1]
        expect("--version", shown, f"{self._version}.1")
        expect("the lease's holder", holder.poll(), None)
        wait("the broker answers", lambda: _status_code() == 0)
        run(["systemctl", "stop", "ha-agent"])
        run(["apt-get", "install", "--reinstall", str(self._new)], more=NO_QUESTIONS)
        expect("ha-agent, stopped by hand", state("ha-agent"), ("inactive", "enabled"))
        run(["systemctl", "start", "ha-agent"])
        say("upgraded: both daemons restarted; sanlock, the lockspace and the lease's holder not")

    def _check_removal(self, holder: subprocess.Popen[bytes]) -> None:
        said = run(["apt-get", "remove", NAME], more=NO_QUESTIONS)
        if "hosted-engine-cleanup" not in said:
            raise PackagingError(f"the removal of a deployed host's package says only\n{said}")
        expect("daemons", processes_of_ours(), [])
        expect("the lease's holder", holder.poll(), None)
        lockspaces = run(["sanlock", "client", "status"])
        if not re.search("^s hosted-engine:", lockspaces, re.MULTILINE):
            raise PackagingError(f"the host is not in the lockspace any more\n{lockspaces}")
        if not Path("/etc/hosted-engine-ha/host.yaml").exists():
            raise PackagingError("the removal took the settings")
        say("removed: the daemons ended, the lease and the settings stayed")

    def _check_traces(self, before: dict[str, str]) -> None:
        run(["apt-get", "purge", NAME], more=NO_QUESTIONS)
        left = differences(before, snapshot(Path("/")))
        if left:
            raise PackagingError("traces after the purge:\n" + "\n".join(left))
        say("purged: without a trace")


def _product(packages: Sequence[Path]) -> Path:
    return next(path for path in packages if path.name.startswith(f"{NAME}_"))


# --- steps ------------------------------------------------------------------------------------


def run_lines(
    text: str, folder: Path, only: str = "", but: str = "", epoch_s: Optional[int] = None
) -> None:
    """Run the commands of docs/install.md that the check runs, in `folder`.

    `only`, `but`: those that begin so, or those that do not. `epoch_s`: the sources' time,
    since the copy in a container has no git.
    """
    more = {**NO_QUESTIONS, **({} if epoch_s is None else {EPOCH_VARIABLE: str(epoch_s)})}
    for line in commands(text):
        begins = line.command.startswith(only or but)
        if CHECK in line.marks and (begins if only else not begins or not but):
            run(["sh", "-c", line.command], folder, more)
            say(f"$ {line.command}")


def do_without_a_watchdog() -> None:
    """For what docs/install.md has, and a container has not."""
    _write("/etc/systemd/system/sanlock.service.d/check.conf", SANLOCK)
    run(["systemctl", "daemon-reload"])


def deploy(page: str) -> None:
    """As docs/install.md has it, with shorter times."""
    first_host = section(page, "On the first host")
    _write(str(HOME / "answers.yaml"), document(first_host, "answers.yaml") + SHORT_TIMES)
    _write(str(HOME / "engine.xml"), DOMAIN.format(leases=LEASES))
    _write(LOCAL_MAINTENANCE, "")
    run_lines(first_host, HOME)
    for unit in DAEMONS:
        expect(unit, state(unit), ("active", "enabled"))
    say("deployed: both daemons run, and will at the next start")


def hold_the_lease() -> subprocess.Popen[bytes]:
    """A process that holds the engine's lease as qemu does."""
    lease = f"hosted-engine:engine:{LEASES}:1048576"
    command = ["sanlock", "client", "command", "-r", lease, "-c", "/bin/sleep", "3600"]
    holder = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    wait("the lease is held", lambda: _holds(holder.pid))
    return holder


def _holds(pid: int) -> bool:
    """A process that could not have it would have ended by now, and is not listed."""
    lease = rf"^r hosted-engine:engine:\S+ p {pid}$"
    return re.search(lease, _sanlock_status(), re.MULTILINE) is not None


def _sanlock_status() -> str:
    return run(["sanlock", "client", "status"])


def _status_code() -> int:
    command = ["hosted-engine", "--vm-status", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return 0 if done.returncode == 0 and "1" in json.loads(done.stdout) else 1


def processes_of_ours() -> list[str]:
    """The words of each process that runs our code."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it has ended
        if any(word.startswith((f"/{PROGRAMS}/", f"/{MODULES}")) for word in words):
            found.append(" ".join(words))
    return found


def state(unit: str) -> tuple[str, str]:
    """Active state and whether it starts with the host."""
    return _show(unit, "ActiveState"), _show(unit, "UnitFileState")


def _run_of(unit: str) -> str:
    """Another text for each time that it was started."""
    return _show(unit, "InvocationID")


def _show(unit: str, name: str) -> str:
    return run(["systemctl", "show", "--value", f"--property={name}", f"{unit}.service"]).strip()


def expect(what: str, found: object, wanted: object) -> None:
    """Raise PackagingError when they differ."""
    if found != wanted:
        raise PackagingError(f"{what}: {found!r}, not {wanted!r}")


def wait(what: str, condition: Callable[[], bool]) -> None:
    """Wait until it is so; raises PackagingError when it takes too long."""
    end_s = time.monotonic() + WITHIN_S
    while not condition():
        if time.monotonic() > end_s:
            raise PackagingError(f"not within {WITHIN_S:.0f} s: {what}")
        time.sleep(0.2)


def _write(path: str, text: str) -> None:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(text, encoding="ascii")
