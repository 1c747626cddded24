# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The families of faults: each function draws one fault, in the words of a script.

`FAMILIES` maps a name to its function and how often it is drawn for a plan.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from metadata.sanlock_usual import USUAL_FIRE_TIMEOUT_S
from metadata.settings.timing import lease_floor_s
from tests.sim.dice import Dice, spread

AGENT, BROKER = "ha-agent", "ha-broker"
SET_MODE = "hosted-engine --set-maintenance --mode="


def power(dice: Dice) -> None:
    """One, several or all hosts lose their power and get it back, or are shut down."""
    at_s = dice.moment_s()
    verb = "shutdown" if dice.chance(0.2) else "power-off"
    for name in dice.some_hosts():
        # Together to the split second, or one after the other.
        when_s = at_s + (0 if dice.chance(0.5) else dice.rng.expovariate(1 / 5.0))
        dice.pair(when_s, f"{verb} {name}", f"power-on {name}", always=0.9)


def storage(dice: Dice) -> None:
    """The way to the shared storage hangs, fails, is slow or flaps."""
    at_s = dice.moment_s()
    kind = dice.one_of("hang", "hang", "fail", "slow", "flap")
    for name in dice.some_hosts():
        words = f"storage {name} {kind}"
        if kind == "slow":
            words += f" {spread(dice.rng, 0.1, 2.0 * dice.timing.io_timeout_s):.2f}"
        if kind == "flap":
            words += f" {spread(dice.rng, 0.5, 60):.1f}"
        dice.pair(at_s, words, f"storage {name} heal")


def slots(dice: Dice) -> None:
    """A metadata slot is damaged: by a torn write, an old copy, other data."""
    number = dice.rng.randint(0, len(dice.hosts) + 1)
    kind = dice.one_of("garbage", "torn", "stale", "zero", "too-new")
    if number == 0 and kind in ("stale", "too-new"):
        kind = "garbage"
    dice.add(dice.moment_s(), f"slot {number} {kind}")


def _lost(at_s: float, whose: str) -> str:
    """How a network is lost: its cable is pulled, or what is sent vanishes. Drawn apart: it changes
    no other draw."""
    return "drop" if random.Random(f"lost {at_s} {whose}").random() < 0.4 else "cut"


def network(dice: Dice) -> None:
    at_s = dice.moment_s()
    if dice.chance(0.3):
        dice.pair(at_s, "gateway down", "gateway up")
        return
    if dice.chance(0.3):
        name = dice.host()
        dice.pair(at_s, f"gateway {name} down", f"gateway {name} up")
        return
    for name in dice.some_hosts():
        dice.pair(at_s, f"network {name} {_lost(at_s, name)}", f"network {name} heal")


def reach(dice: Dice) -> None:
    """The engine is out of reach: by its uplink alone, with its host, or for one host only.

    Where its uplink is cut its own host still sees it; where it is unplugged nobody does.
    """
    at_s = dice.moment_s()
    kind = dice.rng.random()
    if kind < 0.2 and len(dice.hosts) > 1:
        one, other = dice.rng.sample(dice.hosts, 2)
        how = _lost(at_s, f"{one} {other}")
        dice.pair(at_s, f"network {one} {other} {how}", f"network {one} {other} heal")
        return
    verb = "network" if kind < 0.5 else "uplink"
    what = "cut" if kind < 0.8 else "unplug"
    for name in dice.some_hosts():
        back = f"{verb} {name} heal"
        # Long enough to be noticed, mostly.
        how = _lost(at_s, name) if verb == "network" else what
        dice.add(at_s, f"{verb} {name} {how}")
        if dice.chance(0.85):
            dice.add(at_s + dice.span_s() + dice.one_of(0, 1, 1, 3) * dice.timing.isolated_s, back)


def worse(dice: Dice) -> None:
    """A host has lost its gateway for long, and perhaps the engine's uplink, too: another one is a
    much better place, and the hosts reach each other all the while."""
    at_s, name = dice.moment_s(), dice.host()
    ends_s = at_s + spread(dice.rng, 60, 6000)
    dice.add(at_s, f"gateway {name} down")
    dice.add(ends_s, f"gateway {name} up")
    if dice.chance(0.5):
        dice.add(at_s, f"uplink {name} cut")
        dice.add(ends_s, f"uplink {name} heal")
    if dice.chance(0.5):
        end = dice.one_of("finishes", "finishes", "fails", "refused", "sticks", "keeps", "hangs")
        dice.add(at_s, f"moves end {end} gap {dice.rng.uniform(0.01, 3):.2f}")


def condition(dice: Dice) -> None:
    """A host's bridge goes down, others use its CPUs, or little memory is free."""
    at_s = dice.moment_s()
    kind = dice.one_of("bridge", "cpu", "cpu", "memory")
    for name in dice.some_hosts():
        if kind == "bridge":
            dice.pair(at_s, f"bridge {name} down", f"bridge {name} up")
        elif kind == "cpu":
            dice.pair(at_s, f"cpu {name} {dice.rng.uniform(0, 1):.2f}", f"cpu {name} 0")
        else:
            mib = round(spread(dice.rng, 1000, 60_000))
            dice.pair(at_s, f"memory {name} {mib}", f"memory {name} 65536")


def libvirt(dice: Dice) -> None:
    """libvirtd hangs, restarts, is stopped, or forgets to report."""
    at_s = dice.moment_s()
    name = dice.host()
    kind = dice.rng.random()
    if kind < 0.35:
        dice.pair(at_s, f"libvirt {name} hang", f"libvirt {name} heal")
    elif kind < 0.6:
        dice.pair(at_s, f"libvirt {name} lose-events", f"libvirt {name} heal")
    elif kind < 0.8:
        dice.add(at_s, f"on {name} systemctl restart libvirtd")
    else:
        dice.pair(at_s, _systemctl(name, "stop", "libvirtd"), _systemctl(name, "start", "libvirtd"))


def sleep(dice: Dice) -> None:
    """Hosts are suspended, or paused by an outer hypervisor, and go on."""
    at_s = dice.moment_s()
    verb = dice.one_of("suspend", "pause")
    for name in dice.some_hosts():
        dice.pair(at_s, f"{verb} {name}", f"resume {name}", always=0.95)


def engine_dies(dice: Dice) -> None:
    """qemu is killed, the guest panics or is powered off by its user."""
    dice.add(dice.moment_s(), f"engine {dice.one_of('kill', 'kill', 'crash', 'shutdown')}")


def engine_ails(dice: Dice) -> None:
    """The guest hangs, its service stops, or an I/O error pauses it."""
    kind = dice.rng.random()
    at_s = dice.moment_s()
    if kind < 0.3:
        dice.add(at_s, "engine hang")
    elif kind < 0.6:
        dice.pair(at_s, "engine stop-service", "engine start-service", always=0.6)
    elif kind < 0.8:
        dice.add(at_s, "engine pause")
    else:
        dice.add(at_s, f"engine boots-in {spread(dice.rng, 1, 2 * dice.timing.starting_s):.0f}")


def engine_stays(dice: Dice) -> None:
    """The guest does not shut down when it is asked to."""
    dice.pair(dice.moment_s(), "engine never-shuts-down on", "engine never-shuts-down off")


def virsh(dice: Dice) -> None:
    """A person works on the domain through libvirt, past the program."""
    at_s = dice.moment_s()
    name = dice.host()
    if dice.chance(0.5):
        back = f"on {name} virsh resume HostedEngine"
        dice.pair(at_s, f"on {name} virsh suspend HostedEngine", back, always=0.7)
    else:
        dice.add(at_s, f"on {name} virsh {dice.one_of('shutdown', 'destroy')} HostedEngine")


def migration(dice: Dice) -> None:
    """A live migration made by a person from outside."""
    source, target = dice.host(), dice.host()
    if source != target:
        end = dice.one_of("finishes", "finishes", "fails")
        if dice.chance(0.7):
            kind = dice.one_of(*["finishes"] * 3, "refused", "sticks", "keeps", "hangs")
            end = f"gap {dice.rng.uniform(0.01, 3):.2f} {kind}"
        at_s = dice.add(dice.moment_s(), f"migrate {source} {target} {end}")
        if dice.chance(0.2):  # while the lease is free, or just before and after that
            at_s += dice.rng.uniform(2, 7)
            victim = dice.one_of(source, target)
            dice.pair(at_s, f"power-off {victim}", f"power-on {victim}", always=0.9)


def moves(dice: Dice) -> None:
    """Planned work moves the engine alive, by any way that people have; mostly something else
    happens in the middle of it."""
    at_s = dice.moment_s()
    if dice.chance(0.5):
        end = dice.one_of(*["finishes"] * 3, "fails", "refused", "sticks", "keeps", "hangs")
        dice.add(at_s, f"moves end {end} gap {dice.rng.uniform(0.01, 3):.2f}")
    way = dice.one_of(_order_a_move, _maintenance, _maintenance_all_round, _shutdown_in_turn)
    way(dice, at_s)
    if dice.chance(0.5):  # while the memory is copied, or the lease is free, or just after
        fault = dice.one_of(
            *(power, storage, libvirt, sleep, daemons, network, between_actions),
            lambda the: _shutdown_in_turn(the, the.moment_s()),
        )
        with dice.at(at_s + dice.rng.uniform(0, 7)):
            fault(dice)


def _order_a_move(dice: Dice, at_s: float) -> None:
    """On every host: only the engine's takes it."""
    to = f" --to {dice.host()}" if dice.chance(0.4) else ""
    for name in dice.hosts:
        dice.add(at_s, f"on {name} hosted-engine --vm-migrate{to}")


def _maintenance(dice: Dice, at_s: float) -> None:
    """Of every host for a moment in turn, and nobody has to know where the engine is."""
    for name in dice.rng.sample(dice.hosts, len(dice.hosts)):
        dice.pair(at_s, f"on {name} {SET_MODE}local", f"on {name} {SET_MODE}none")
        if dice.chance(0.3):  # while it moves
            dice.add(at_s + dice.rng.uniform(0, 7), f"on {name} {SET_MODE}none")
        at_s += dice.rng.uniform(0, 20)


def _maintenance_all_round(dice: Dice, at_s: float) -> None:
    """One host after the other, each for as long as the next one."""
    every_s = spread(dice.rng, 5, 400)
    for name in dice.hosts:
        dice.add(at_s, f"on {name} {SET_MODE}local")
        dice.add(at_s + every_s * dice.rng.uniform(0.3, 1.2), f"on {name} {SET_MODE}none")
        at_s += every_s


def _shutdown_in_turn(dice: Dice, at_s: float) -> None:
    """The first hosts of any order, or all, together or one after the other, and back."""
    every_s = 0.0 if dice.chance(0.3) else spread(dice.rng, 0.1, 200)
    count = dice.rng.randint(1, len(dice.hosts))
    for name in dice.rng.sample(dice.hosts, count):
        dice.pair(at_s, f"shutdown {name}", f"power-on {name}", always=0.95)
        at_s += every_s


def holds(dice: Dice) -> None:
    """libvirt pauses the VM for something of its own, and never comes to an end with it."""
    kind = dice.one_of("save", "dump", "snapshot", "migration")
    dice.add(dice.moment_s(), f"libvirt {dice.host()} holds {kind}")


def daemons(dice: Dice) -> None:
    """Agent or broker is killed, frozen, stopped or restarted; sometimes both, or everywhere."""
    at_s = dice.moment_s()
    units = dice.one_of([AGENT], [AGENT], [BROKER], [BROKER], [AGENT, BROKER])
    kind = dice.rng.random()
    for name in dice.some_hosts():
        for unit in units:
            _daemon(dice, at_s, name, unit, kind)


def _daemon(dice: Dice, at_s: float, name: str, unit: str, kind: float) -> None:
    if kind < 0.4:
        dice.add(at_s, _signal(name, unit, "SIGKILL"))
    elif kind < 0.7:
        dice.pair(at_s, _signal(name, unit, "SIGSTOP"), _signal(name, unit, "SIGCONT"))
    elif kind < 0.85:
        dice.pair(at_s, _systemctl(name, "stop", unit), _systemctl(name, "start", unit))
    else:
        dice.add(at_s, _systemctl(name, "restart", unit))


def restarts_beside_a_cut(dice: Dice) -> None:
    """While a dead host's lease runs out, the services of the others are restarted, or die."""
    at_s = dice.moment_s()
    dead = dice.host()
    dice.pair(at_s, f"power-off {dead}", f"power-on {dead}", always=0.9)
    for name in dice.some_hosts():
        if name == dead:
            continue
        unit = dice.one_of(BROKER, BROKER, AGENT)
        floor_s = lease_floor_s(dice.timing.io_timeout_s, USUAL_FIRE_TIMEOUT_S)
        again_s = dice.rng.uniform(0, floor_s)
        for _ in range(dice.rng.randint(1, 3)):
            how = _systemctl(name, "restart", unit)
            dice.add(at_s + again_s, how if dice.chance(0.6) else _signal(name, unit, "SIGKILL"))
            again_s += spread(dice.rng, 1, 60)


def shared_config(dice: Dice) -> None:
    """Both copies of the shared configuration are written over, or cut off with the volume."""
    dice.add(dice.moment_s(), f"config {dice.one_of('garbage', 'zero')}")


def forgotten(dice: Dice) -> None:
    """Services are stopped by hand, and nobody starts them again."""
    at_s = dice.moment_s()
    units = dice.one_of([AGENT], [AGENT], [BROKER], [AGENT, BROKER])
    for name in dice.some_hosts():
        for unit in units:
            dice.add(at_s, _systemctl(name, "stop", unit))


def all_lose_power(dice: Dice) -> None:
    """All hosts lose their power, and slot 0 may be garbage when they come back."""
    at_s = dice.moment_s()
    for name in dice.hosts:
        dice.pair(at_s, f"power-off {name}", f"power-on {name}", always=0.9)
    if dice.chance(0.6):
        dice.add(at_s + 1, "slot 0 garbage")


def again_and_again(dice: Dice) -> None:
    """A service of one host ends every so often, sometimes together with the engine's qemu."""
    at_s, name = dice.moment_s(), dice.host()
    unit = dice.one_of(AGENT, AGENT, BROKER, "libvirtd")
    every_s, with_qemu = spread(dice.rng, 10, 700), dice.chance(0.2)
    for number in range(dice.rng.randint(3, 12)):
        moment_s = at_s + number * every_s
        if with_qemu:
            dice.add(moment_s, "engine kill")
        if unit == "libvirtd" or dice.chance(0.3):
            dice.add(moment_s, _systemctl(name, "restart", unit))
        else:
            dice.add(moment_s, _signal(name, unit, "SIGKILL"))


def between_actions(dice: Dice) -> None:
    """Agent or broker ends or stands still between any two of its calls to the world."""
    at_s = dice.moment_s()
    name, unit = dice.host(), dice.one_of(AGENT, BROKER)
    calls = round(spread(dice.rng, 1, 60))
    if dice.chance(0.6):
        dice.add(at_s, f"daemon {name} {unit} kill after {calls} calls")
        return
    words = f"daemon {name} {unit} freeze after {calls} calls"
    dice.pair(at_s, words, _signal(name, unit, "SIGCONT"))


def sanlock(dice: Dice) -> None:
    """sanlock dies, and a hardware watchdog, where there is one, then resets the host; or it is
    busy when it is asked."""
    at_s = dice.moment_s()
    name = dice.host()
    if dice.chance(0.3):
        dice.add(at_s, f"sanlock {name} busy {round(spread(dice.rng, 1, 8))}")
        return
    dice.pair(at_s, _signal(name, "sanlock", "SIGKILL"), _systemctl(name, "start", "sanlock"))


def clocks(dice: Dice) -> None:
    """Somebody sets the wall clock, or it drifts."""
    name = dice.host()
    if dice.chance(0.7):
        seconds = round(spread(dice.rng, 1, 1e6))
        dice.add(dice.moment_s(), f"clock {name} {dice.one_of('+', '-')}{seconds}")
    else:
        dice.add(dice.moment_s(), f"drift {name} {dice.rng.randint(-300, 300)}")


def administrator(dice: Dice) -> None:
    """Any command at any moment, on any host."""
    at_s = dice.moment_s()
    on = f"on {dice.host()} "
    kind = dice.rng.random()
    if kind < 0.35:
        dice.pair(at_s, f"{on}{SET_MODE}global", f"{on}{SET_MODE}none")
    elif kind < 0.65:
        dice.pair(at_s, f"{on}{SET_MODE}local", f"{on}{SET_MODE}none")
    elif kind < 0.72:
        dice.add(at_s, f"{on}{SET_MODE}none")
    else:
        command = dice.one_of("--vm-start", "--vm-start", "--vm-shutdown", "--vm-poweroff")
        dice.add(at_s, f"{on}hosted-engine {command}")


def starts_fail(dice: Dice) -> None:
    """libvirt refuses to create the domain."""
    at_s = dice.moment_s()
    for name in dice.some_hosts():
        dice.pair(at_s, f"start {name} fails", f"start {name} works")


def _systemctl(name: str, verb: str, unit: str) -> str:
    return f"on {name} systemctl {verb} {unit}"


def _signal(name: str, unit: str, signal: str) -> str:
    return f"on {name} systemctl kill --signal={signal} {unit}"


FAMILIES: Mapping[str, tuple[Callable[[Dice], None], float]] = {
    "power": (power, 1.0),
    "storage": (storage, 1.0),
    "slots": (slots, 0.6),
    "network": (network, 0.5),
    "reach": (reach, 0.7),
    "condition": (condition, 0.5),
    "libvirt": (libvirt, 0.8),
    "sleep": (sleep, 0.6),
    "engine dies": (engine_dies, 1.0),
    "engine ails": (engine_ails, 0.8),
    "engine stays": (engine_stays, 0.3),
    "virsh": (virsh, 0.6),
    "migration": (migration, 0.7),
    "moves": (moves, 1.0),
    "libvirt holds": (holds, 0.3),
    "daemons": (daemons, 1.0),
    "shared config": (shared_config, 0.3),
    "forgotten": (forgotten, 0.3),
    "all lose power": (all_lose_power, 0.3),
    "restarts beside a cut": (restarts_beside_a_cut, 0.6),
    "again and again": (again_and_again, 0.7),
    "between actions": (between_actions, 0.9),
    "sanlock": (sanlock, 0.8),
    "clocks": (clocks, 0.3),
    "administrator": (administrator, 0.8),
    "starts fail": (starts_fail, 0.5),
    "worse": (worse, 0.7),
}
