# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Building a lab and removing it again, completely."""

from __future__ import annotations

import contextlib
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from pathlib import Path

from lab import (
    cgroups,
    debian_roots,
    deploy,
    engine,
    features,
    host,
    hostroot,
    install,
    lan,
    mounts,
    product,
    san,
    state,
)
from lab.errors import LabError
from lab.first_start import FirstStart
from lab.settings import Places, host_names
from lab.state import Lab

# Enough for the heartbeats of a long day; memory is used as it fills.
RUN_SIZE = "6g"
FIRST_START_TIMEOUT_S = 120.0

Say = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """What a lab is asked to be: hosts, sanlock's times, memory of the guest, hosts' releases."""

    hosts: int
    io_timeout_s: int
    fire_timeout_s: int
    memory_mib: int
    releases: tuple[str, ...] = ()


def prepare(places: Places, releases: Sequence[str] = ()) -> None:
    """Have everything in place that a lab is built from: only this needs the package registry.

    `releases` are those of which there will be hosts with a root of their own.
    """
    install.prepare(places)
    debian_roots.prepare(places, releases)
    product.build(places)


def up(places: Places, size: Size, bare: bool, say: Say) -> Lab:
    """Build the lab, install and deploy the product and wait until the engine is healthy.

    Where the hosts are to stay `bare`, the product's package only lies in their /root.
    What was built is removed again when any of it fails.
    """
    features.require()
    if state.is_up(places) or host.supervisors(places):
        raise LabError("a lab is up already: `lab down` removes it")
    say("packages, guest, product")
    prepare(places, size.releases)
    features.require()
    features.require_fire_timeout(size.fire_timeout_s, hostroot.bases(places, size.releases))
    lan.refuse_if_used()
    try:
        return _build(places, size, bare, say)
    except BaseException:
        say("removing what was built")
        down(places)
        raise


def down(places: Places) -> None:
    """Remove everything a lab consists of, whatever state it is in."""
    steps: list[Callable[[], None]] = [
        install.restore_policy,
        lambda: host.remove_all(places),
        lambda: san.remove(places),
        lambda: lan.remove(places),
        lambda: mounts.unmount_below(places.state),
        lambda: cgroups.remove_all(places),
        lambda: _remove_folder(places.run),
    ]
    failures: list[str] = []
    with uninterrupted():
        for step in steps:
            # One thing that cannot be removed must not keep the others.
            try:
                step()
            except (LabError, OSError) as error:
                failures.append(str(error))
    if failures:
        raise LabError(f"not all removed: {'; '.join(failures)}")


def purge(places: Places) -> None:
    """Remove also what is kept for the next run."""
    _remove_folder(places.state)


def _remove_folder(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Let no signal break off the cleaning up."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _build(places: Places, size: Size, bare: bool, say: Say) -> Lab:
    hosts, accelerator = tuple(host_names(size.hosts)), features.accelerator(places)
    times = (size.io_timeout_s, accelerator, size.fire_timeout_s)
    lab = Lab(hosts, *times, size.memory_mib, size.releases)
    of = f" of {' and '.join(size.releases)}" if size.releases else ""
    say(f"SAN, LAN, {size.hosts} hosts{of} (guest runs by {accelerator})")
    mounts.mount("tmpfs", "hosted-engine-lab", places.run, f"size={RUN_SIZE},mode=0755")
    # From here on `down` has something to remove, so the lab counts as up.
    state.save(places, lab)
    state.log_event(places, "up", [str(one) for one in astuple(size)])
    san.create_volumes(places)
    lan.create(places)
    for name in lab.hosts:
        san.connect(places, name)
        hostroot.build(places, lab, name)
        product.hand_over(places, name, product.package(places))
    deploy.write_answers(places, lab)
    _power_on_all(places, lab)
    if not bare:
        _install_all(places, lab, say)
        _deploy_all(places, lab, say)
    state.log_event(places, "up finished")
    return lab


def _power_on_all(places: Places, lab: Lab) -> None:
    with ThreadPoolExecutor(max_workers=len(lab.hosts)) as pool:
        started = list(pool.map(lambda name: host.power_on(places, name), lab.hosts))
        if not all(started):
            raise LabError("a host's start has not finished in time")
        # On a host in service libvirt has long examined qemu, and keeps the result on its disk.
        list(pool.map(lambda name: engine.let_libvirt_look(places, name), lab.hosts))


def _install_all(places: Places, lab: Lab, say: Say) -> None:
    say("installing the package")
    with ThreadPoolExecutor(max_workers=len(lab.hosts)) as pool:
        list(pool.map(lambda name: product.install(places, name), lab.hosts))


def _deploy_all(places: Places, lab: Lab, say: Say) -> None:
    first_start = FirstStart(places, lab)
    try:
        for name in lab.hosts:
            say(f"deploying on {name}")
            deploy.deploy(places, name)
        say("waiting for the engine")
        boot_s = first_start.guest_boot_s(FIRST_START_TIMEOUT_S)
    finally:
        first_start.give_up()
    state.note_value(places, "guest-boot-s", boot_s)
