# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""libsanlock by ctypes, where neither library nor daemon are needed: the library is played."""

from __future__ import annotations

import ast
import ctypes
import errno
import importlib.util
import inspect
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, Callable

import pytest

from metadata.layout import storage_parts
from simulation.world import SimStore
from world.ports.errors import LockspaceError
from world.storage import sanlock_lockspace
from world.storage.sanlock_lockspace import SanlockLockspace

SOURCE = Path(sanlock_lockspace.__file__).with_name("libsanlock.py")
PARTS = storage_parts("/shared/leases")
NAME, LEASE, DISKS = b"hosted-engine", b"engine", [("/shared/leases", 1048576)]
MIB_512 = {"align": 2**20, "sector": 512}
REAL_CDLL = ctypes.CDLL


class Played:
    """A function of the library: called through C with the parameters that it was given."""

    restype: Any = ctypes.c_int
    argtypes: tuple[Any, ...] = ()

    def __init__(self, answer: Callable[..., Any]) -> None:
        self._answer = answer

    def __call__(self, *arguments: Any) -> Any:
        if self.restype is not ctypes.c_int:
            return self._answer(*arguments)
        return ctypes.CFUNCTYPE(ctypes.c_int, *self.argtypes)(self._answer)(*arguments)


class Library:
    """Each function returns 0 until `play` says otherwise; counts what is allocated and freed."""

    def __init__(self) -> None:
        libc = REAL_CDLL(None)
        libc.malloc.argtypes, libc.malloc.restype = (ctypes.c_size_t,), ctypes.c_void_p
        libc.free.argtypes, libc.free.restype = (ctypes.c_void_p,), None
        self._libc = libc
        self.allocated: list[int] = []
        self.freed: list[int] = []
        self.play(strerror=lambda number: f"text of {number}".encode())

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("sanlock_"):
            raise AttributeError(name)
        setattr(self, name, Played(lambda *_: 0))
        return getattr(self, name)

    def play(self, **answers: Callable[..., Any]) -> None:
        for name, answer in answers.items():
            former = self.__dict__.get(f"sanlock_{name}")
            function = Played(answer)
            if former is not None:
                function.argtypes, function.restype = former.argtypes, former.restype
            setattr(self, f"sanlock_{name}", function)

    def memory(self, content: bytes) -> int:
        """Allocated as the library does."""
        address = self._libc.malloc(len(content))
        ctypes.memmove(address, content, len(content))
        self.allocated.append(address)
        return int(address)

    def array(self, kind: Any, items: list[Any]) -> Any:
        """A pointer to the items, one behind the other, allocated."""
        return ctypes.cast(self.memory(b"".join(map(bytes, items))), ctypes.POINTER(kind))

    def free(self, pointer: Any) -> None:
        address = ctypes.cast(pointer, ctypes.c_void_p).value
        if address is not None:
            self.freed.append(address)
            self._libc.free(address)


def loaded(monkeypatch: pytest.MonkeyPatch, find: Callable[[str], Any]) -> ModuleType:
    """The module anew, whose libraries `find` finds; the process's own stays as it is."""
    with monkeypatch.context() as patch:
        patch.setattr(ctypes, "CDLL", lambda name: find(name) if name else REAL_CDLL(None))
        spec = importlib.util.spec_from_file_location("played_libsanlock", SOURCE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def sanlock(monkeypatch: pytest.MonkeyPatch, library: Library) -> Any:
    module: Any = loaded(monkeypatch, lambda _name: library)
    module._free = library.free
    return module


# --- what it offers -------------------------------------------------------------------------------


def used_by_the_adapter() -> set[str]:
    tree = ast.parse(inspect.getsource(sanlock_lockspace))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("binding", "_binding()")
    }


def test_it_offers_what_the_adapter_uses_and_nothing_more(sanlock: Any) -> None:
    offered = {
        name
        for name, value in vars(sanlock).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == sanlock.__name__
    }
    offered |= {name for name in vars(sanlock) if name.startswith(("HOST_", "LSFLAG_"))}
    assert offered - {"HOST_UNKNOWN"} == used_by_the_adapter()


def test_constants_are_those_of_the_python_binding(sanlock: Any) -> None:
    binding = pytest.importorskip("sanlock", reason="no Python binding: install python3-sanlock")
    names = [name for name in vars(sanlock) if name.startswith(("HOST_", "LSFLAG_"))]
    assert len(names) == 7
    for name in names:
        assert getattr(sanlock, name) == getattr(binding, name), name


def test_layouts_are_those_of_the_header(sanlock: Any) -> None:
    """Sizes and offsets as a C compiler gives them for sanlock.h of 3.8.5 and of 3.9.5."""
    sizes = {"_Disk": 1040, "_Lockspace": 1104, "_Host": 32}
    assert {name: ctypes.sizeof(getattr(sanlock, name)) for name in sizes} == sizes
    assert ctypes.sizeof(sanlock._Resource) == 128 + 4 * 1040
    assert offsets(sanlock._Disk) == [0, 1024, 1032, 1036]
    assert offsets(sanlock._Lockspace) == [0, 48, 56, 64]
    assert offsets(sanlock._Host) == [0, 8, 16, 24, 28]
    assert offsets(sanlock._Resource) == [0, 48, 96, 104, 112, 116, 120, 124, 128]


def offsets(structure: Any) -> list[int]:
    return [getattr(structure, name).offset for name, _ in structure._fields_]


# --- what is handed over --------------------------------------------------------------------------


def test_a_lockspace_goes_over_whole(sanlock: Any, library: Library) -> None:
    seen: list[tuple[Any, ...]] = []

    def write(space: Any, max_hosts: int, flags: int, io_timeout: int) -> int:
        one = space.contents
        place = (one.host_id_disk.path, one.host_id_disk.offset)
        seen.append((one.name, *place, one.flags, max_hosts, flags, io_timeout))
        return 0

    library.play(write_lockspace=write)
    sanlock.write_lockspace(
        NAME, "/ä", 2**40, max_hosts=2000, iotimeout=10, align=2**23, sector=4096
    )
    assert seen == [(NAME, "/ä".encode(), 2**40, 0x80 | 0x200, 2000, 0, 10)]


@pytest.mark.parametrize(
    ("options", "flags"),
    [({}, 0), ({"wait": False}, 1), ({"unused": True}, 2), ({"wait": False, "unused": True}, 3)],
)
def test_leaving_hands_its_wishes_over(
    sanlock: Any, library: Library, options: dict[str, bool], flags: int
) -> None:
    seen: list[int] = []
    library.play(rem_lockspace=lambda _space, given: seen.append(given) or 0)
    sanlock.rem_lockspace(NAME, 1, "/shared/leases", 0, **options)
    assert seen == [flags]


def test_acquire_is_for_the_registered_process_alone(sanlock: Any, library: Library) -> None:
    seen: list[tuple[Any, ...]] = []

    def acquire(fd: int, pid: int, flags: int, count: int, records: Any, options: Any) -> int:
        one = records[0].contents
        disks = [(one.disks[at].path, one.disks[at].offset) for at in range(one.num_disks)]
        seen.append((fd, pid, flags, count, one.lockspace_name, one.name, disks, options))
        return -243

    library.play(register=lambda: 7, acquire=acquire)
    with pytest.raises(sanlock.SanlockException) as caught:
        sanlock.acquire(NAME, LEASE, DISKS, slkfd=sanlock.register())
    assert seen == [(7, -1, 0, 1, NAME, LEASE, [(b"/shared/leases", 1048576)], None)]
    assert caught.value.errno == -243


@pytest.mark.parametrize("path", ["/" + "x" * 1023, "/" + "ä" * 512, "/shared\0/leases"])
def test_a_path_that_would_be_cut_is_refused(sanlock: Any, path: str) -> None:
    with pytest.raises(ValueError, match="at most 1023 bytes"):
        sanlock.read_resource(path, 0, **MIB_512)
    sanlock.read_resource("/" + "x" * 1022, 0, **MIB_512)


@pytest.mark.parametrize(("align", "sector"), [(2**24, 512), (0, 512), (2**20, 520)])
def test_a_geometry_that_sanlock_has_not_is_refused(sanlock: Any, align: int, sector: int) -> None:
    with pytest.raises(ValueError, match=f"align {align} and sector {sector} bytes: allowed"):
        sanlock.read_lockspace("/shared/leases", 0, align, sector)


# --- what comes back ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "number", "why"),
    [
        (-errno.ENOENT, errno.ENOENT, os.strerror(errno.ENOENT)),
        (-errno.EBUSY, errno.EBUSY, os.strerror(errno.EBUSY)),
        (-199, 199, os.strerror(199)),
        (-200, -200, "text of -200"),
        (-243, -243, "text of -243"),
        (7, 7, "text of 7"),
    ],
)
def test_a_failures_number_and_text(
    sanlock: Any, library: Library, result: int, number: int, why: str
) -> None:
    library.play(add_lockspace_timeout=lambda *_: result)
    with pytest.raises(sanlock.SanlockException) as caught:
        sanlock.add_lockspace(NAME, 1, "/shared/leases", 0, 10)
    assert caught.value.errno == number
    assert caught.value.args == (number, "join a lockspace", why)


@pytest.mark.parametrize(
    ("result", "told"), [(0, True), (-errno.ENOENT, False), (-errno.EINPROGRESS, None)]
)
def test_a_membership_is_one_of_three(
    sanlock: Any, library: Library, result: int, told: object
) -> None:
    library.play(inq_lockspace=lambda _space, flags: result if flags == 1 else -errno.EIO)
    assert sanlock.inq_lockspace(NAME, 1, "/shared/leases", 0, True) is told
    with pytest.raises(sanlock.SanlockException):
        sanlock.inq_lockspace(NAME, 1, "/shared/leases", 0)


def test_names_of_full_length_have_no_end(sanlock: Any, library: Library) -> None:
    def read(record: Any, _flags: int) -> int:
        record.contents.lockspace_name, record.contents.name = b"l" * 48, b"r" * 48
        record.contents.lver = 2**63
        return 0

    library.play(read_resource=read)
    assert sanlock.read_resource("/shared/leases", 0, **MIB_512) == {
        "lockspace": b"l" * 48,
        "resource": b"r" * 48,
        "version": 2**63,
    }


# --- memory ---------------------------------------------------------------------------------------


def lists(sanlock: Any, library: Library, result: int) -> None:
    """Each function that allocates answers with two items, and that result."""
    hosts = [sanlock._Host(1, 2, 3, 10, 3), sanlock._Host(2000, 4, 5, 10, 5)]
    spaces = [
        sanlock._Lockspace(NAME, 1, 0, sanlock._Disk(b"/a", 0)),
        sanlock._Lockspace(b"other", 2**40, 1, sanlock._Disk(b"/b", 7)),
    ]

    def answer(kind: Any, items: list[Any], found: Any, count: Any) -> int:
        found[0], count[0] = library.array(kind, items), len(items)
        return result

    library.play(
        get_hosts=lambda _name, _id, found, count, _f: answer(sanlock._Host, hosts, found, count),
        get_lockspaces=lambda found, count, _f: answer(sanlock._Lockspace, spaces, found, count),
        read_resource_owners=lambda _r, _f, found, count: answer(
            sanlock._Host, hosts, found, count
        ),
    )


def calls(sanlock: Any) -> list[Callable[[], Any]]:
    return [
        lambda: sanlock.get_hosts(NAME, 0),
        sanlock.get_lockspaces,
        lambda: sanlock.read_resource_owners(NAME, LEASE, DISKS, **MIB_512),
    ]


def test_lists_are_copied_and_freed(sanlock: Any, library: Library) -> None:
    lists(sanlock, library, 0)
    hosts, spaces, owners = (call() for call in calls(sanlock))
    assert hosts == owners
    assert hosts[1] == {
        "host_id": 2000,
        "generation": 4,
        "timestamp": 5,
        "io_timeout": 10,
        "flags": 5,
    }
    assert spaces[1] == {
        "lockspace": b"other",
        "host_id": 2**40,
        "path": "/b",
        "offset": 7,
        "flags": 1,
    }
    assert library.freed == library.allocated and len(library.freed) == 3


def test_a_list_that_came_with_a_failure_is_freed(sanlock: Any, library: Library) -> None:
    """The library allocates when the daemon had more to say than room for it (ENOSPC)."""
    lists(sanlock, library, -errno.ENOSPC)
    for call in calls(sanlock):
        with pytest.raises(sanlock.SanlockException) as caught:
            call()
        assert caught.value.errno == errno.ENOSPC
    assert library.freed == library.allocated and len(library.freed) == 3


def test_a_list_of_none(sanlock: Any, library: Library) -> None:
    assert [call() for call in calls(sanlock)] == [[], [], []]
    assert sanlock.inquire(4711) == []
    assert library.freed == []


def inquiry(sanlock: Any, library: Library, result: int = 0, parsed: int = 0) -> None:
    """The daemon's text and what the library makes of it: a resource on two disks, one on none."""
    first = sanlock._Resource(NAME, LEASE, lver=9, num_disks=2)
    first.disks[0], first.disks[1] = sanlock._Disk(b"/a:b", 1), sanlock._Disk(b"/c", 2)
    bodies = [bytes(first)[: 128 + 2 * 1040], bytes(sanlock._Resource(NAME, b"other"))[:128]]

    def inquire(_fd: int, pid: int, _flags: int, count: Any, state: Any) -> int:
        assert pid == 4711
        state[0], count[0] = library.memory(b"text of the daemon\0"), 2
        return result

    def parse(state: int, count: Any, found: Any) -> int:
        assert ctypes.string_at(state) == b"text of the daemon"
        count[0] = 2
        if parsed:
            return parsed
        each = [ctypes.c_void_p(library.memory(body)) for body in bodies]
        pointers = library.memory(b"".join(map(bytes, each)))
        found[0] = ctypes.cast(pointers, type(found[0]))
        return 0

    library.play(inquire=inquire, state_to_args=parse)


def test_a_processs_resources_are_copied_and_freed(sanlock: Any, library: Library) -> None:
    inquiry(sanlock, library)
    first, second = sanlock.inquire(pid=4711)
    assert first == {
        "lockspace": NAME,
        "resource": LEASE,
        "flags": 0,
        "version": 9,
        "disks": [("/a:b", 1), ("/c", 2)],
    }
    assert (second["resource"], second["disks"]) == (b"other", [])
    assert sorted(library.freed) == sorted(library.allocated) and len(library.freed) == 4


@pytest.mark.parametrize(
    "failing", [{"result": -errno.ESRCH}, {"parsed": -errno.ENOMEM}, {"parsed": -1}]
)
def test_an_inquiry_that_fails_frees_what_there_is(
    sanlock: Any, library: Library, failing: dict[str, int]
) -> None:
    inquiry(sanlock, library, **failing)
    with pytest.raises(sanlock.SanlockException) as caught:
        sanlock.inquire(pid=4711)
    assert [-caught.value.errno] == list(failing.values())
    assert library.freed == library.allocated and len(library.freed) == 1


# --- which of the two -----------------------------------------------------------------------------


def test_either_library_will_do(monkeypatch: pytest.MonkeyPatch, library: Library) -> None:
    asked: list[str] = []

    def find(name: str) -> Library:
        asked.append(name)
        if name != "libsanlock.so.1":
            raise OSError(f"{name}: cannot open shared object file")
        return library

    assert loaded(monkeypatch, find).get_lockspaces() == []
    assert asked == ["libsanlock_client.so.1", "libsanlock.so.1"]


def test_no_library_is_a_missing_module_that_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    def find(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    with pytest.raises(ImportError, match=r"libsanlock_client\.so\.1.*libsanlock\.so\.1"):
        loaded(monkeypatch, find)


def test_a_library_without_a_function_that_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError, match=r"libsanlock is too old.*sanlock_"):
        loaded(monkeypatch, lambda _name: object())


def test_the_adapter_takes_the_library_where_there_is_no_binding(
    monkeypatch: pytest.MonkeyPatch, sanlock: Any, library: Library
) -> None:
    monkeypatch.setitem(sys.modules, "sanlock", None)
    only_library(monkeypatch, sanlock)
    lists(sanlock, library, 0)
    hosts = SanlockLockspace(PARTS, SimStore()).hosts()
    assert [host.host_id for host in hosts] == [1, 2000]


def test_the_adapter_takes_the_binding_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, sanlock: Any
) -> None:
    binding = ModuleType("sanlock")
    binding.SanlockException = OSError  # type: ignore[attr-defined]
    binding.get_lockspaces = list  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sanlock", binding)
    only_library(monkeypatch, None)
    assert SanlockLockspace(PARTS, SimStore()).leave_if_unused(1) is True


def test_without_either_both_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sanlock", None)
    only_library(monkeypatch, None)
    with pytest.raises(LockspaceError) as caught:
        SanlockLockspace(PARTS, SimStore()).membership(1)
    for name in ("python3-sanlock", "sanlock-lib", "libsanlock1"):
        assert name in caught.value.why


def only_library(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    """`from world.storage import libsanlock` finds that module, or none."""
    import world.storage

    monkeypatch.setitem(sys.modules, "world.storage.libsanlock", module)
    monkeypatch.delattr(world.storage, "libsanlock", raising=False)
    if module is not None:
        monkeypatch.setattr(world.storage, "libsanlock", module, raising=False)
