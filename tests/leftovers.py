"""What a level left behind: processes of the components under test, mounts, networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# The programs that the tests and the lab start. Others on the machine are not ours to judge.
_PROGRAMS = (
    "sanlock",
    "libvirtd",
    "virtqemud",
    "qemu-system",
    "nbdkit",
    "nbdfuse",
    "systemd-nspawn",
    "ha-agent",
    "ha-broker",
    "prometheus",
)


@dataclass(frozen=True)
class Leftovers:
    """A picture of the machine at one moment."""

    processes: frozenset[str]
    mounts: frozenset[str]
    interfaces: frozenset[str]

    @staticmethod
    def now() -> Leftovers:
        """Take the picture."""
        return Leftovers(_processes(), _mounts(), _interfaces())

    def beyond(self, before: Leftovers) -> list[str]:
        """What is there now and was not before, a line each."""
        return [
            *(f"process {name}" for name in sorted(self.processes - before.processes)),
            *(f"mount {name}" for name in sorted(self.mounts - before.mounts)),
            *(f"interface {name}" for name in sorted(self.interfaces - before.interfaces)),
        ]


def _processes() -> frozenset[str]:
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = _command_line(entry)
            if any(Path(word).name.startswith(_PROGRAMS) for word in words[:2]):
                found.add(f"{entry.name} ({' '.join(words)[:80]})")
    return frozenset(found)


def _command_line(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []  # it ended meanwhile


def _mounts() -> frozenset[str]:
    lines = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    return frozenset(line.split()[1] for line in lines)


def _interfaces() -> frozenset[str]:
    return frozenset(entry.name for entry in Path("/sys/class/net").iterdir())
