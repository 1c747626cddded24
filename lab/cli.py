# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The command line of ``lab/lab``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from lab import (
    engine,
    features,
    host,
    lan,
    lifecycle,
    moves_picture,
    page,
    product,
    report,
    rounds,
    san,
    settings,
    state,
    status,
    timeline,
)
from lab.debian_roots import RELEASES
from lab.errors import LabError
from lab.processes import wait_until
from lab.settings import Places

DEFAULT_WAIT_S = 120.0


class OneLineParser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """End with that line."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(given)
    install_signal_handlers()
    try:
        settings.time_factor()  # A wrong one is refused before anything is done.
        code: int = options.run(settings.places(), options)
        return code
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("lab: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read us has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def install_signal_handlers() -> None:
    """Let SIGTERM and SIGHUP end the program as Ctrl-C does, so that it cleans up.

    SIGINT too: a shell starts its background jobs with that signal ignored.
    """

    def interrupt(number: int, _frame: object) -> NoReturn:
        raise KeyboardInterrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def say(text: str) -> None:
    """Tell how far the work is."""
    print(f"lab: {text}", flush=True)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """An argument type: a whole number within bounds."""

    def parse(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text}: a whole number from {low} to {high}")
        return int(text)

    return parse


def _releases(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in RELEASES:
            raise argparse.ArgumentTypeError(f"{name}: choose from {', '.join(RELEASES)}")
    return names


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"{text}: seconds, more than 0 and at most 86400")
    return value


def _offset(text: str) -> int:
    if text[:1] not in ("+", "-") or not text[1:].isascii() or not text[1:].isdigit():
        raise argparse.ArgumentTypeError(f"{text}: seconds with a sign, such as +90 or -90")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = OneLineParser(prog="lab", description="Real hosts on one machine.")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    def verb(name: str, run: Verb, text: str) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    _add_life_verbs(verb)
    _add_host_verbs(verb)
    _add_engine_verbs(verb)
    return parser


Verb = Callable[[Places, argparse.Namespace], int]
AddVerb = Callable[[str, Verb, str], argparse.ArgumentParser]


def add_size_options(parser: argparse.ArgumentParser, fewest_hosts: int = 1) -> None:
    """The options that say how large a lab is."""
    parser.add_argument(
        "--hosts",
        type=whole_number(fewest_hosts, settings.MAX_HOSTS),
        default=settings.DEFAULT_HOSTS,
        metavar="N",
        help="how many hosts (default %(default)s)",
    )
    parser.add_argument(
        "--io-timeout",
        type=whole_number(1, settings.MAX_IO_TIMEOUT_S),
        default=settings.DEFAULT_IO_TIMEOUT_S,
        metavar="S",
        help="sanlock's I/O time-out in seconds (default %(default)s)",
    )
    parser.add_argument(
        "--fire-timeout",
        type=whole_number(settings.LEAST_FIRE_TIMEOUT_S, settings.USUAL_FIRE_TIMEOUT_S),
        default=settings.USUAL_FIRE_TIMEOUT_S,
        metavar="S",
        help="sanlock's watchdog_fire_timeout in seconds (default %(default)s; another one "
        "needs sanlock 3.9)",
    )
    parser.add_argument(
        "--engine-memory",
        type=whole_number(settings.LEAST_MEMORY_MIB, settings.MOST_MEMORY_MIB),
        default=settings.USUAL_MEMORY_MIB,
        metavar="MIB",
        help="memory of the engine's guest in MiB (default %(default)s)",
    )
    parser.add_argument(
        "--release",
        type=_releases,
        default=(),
        metavar="RELEASE[,RELEASE]",
        help=f"hosts with a root of their own, of {' or '.join(RELEASES)}; of several, the hosts "
        "have them in turn (default: overlays of this machine)",
    )


def size(options: argparse.Namespace) -> lifecycle.Size:
    """What these options ask for."""
    times = (options.io_timeout, options.fire_timeout)
    return lifecycle.Size(options.hosts, *times, options.engine_memory, options.release)


def _add_life_verbs(verb: AddVerb) -> None:
    added = verb("up", _up, "build the lab, deploy, wait until the engine is healthy")
    add_size_options(added)
    added.add_argument(
        "--bare",
        action="store_true",
        help="leave the hosts without the product: its package lies in their /root",
    )
    added = verb("down", _down, "remove everything; what the next `up` can use again is kept")
    added.add_argument("--purge", action="store_true", help="keep nothing")
    verb("check", _check, "name what this machine lacks to run the lab")
    added = verb("status", _status, "show hosts and engine")
    added.add_argument("--json", action="store_true")
    added = verb("wait", _wait, "wait for the engine")
    added.add_argument("--healthy", action="store_true", required=True)
    where = added.add_mutually_exclusive_group()
    where.add_argument("--on", metavar="HOST")
    where.add_argument("--not-on", metavar="HOST")
    added.add_argument("--timeout", type=_seconds, default=DEFAULT_WAIT_S, metavar="S")
    added = verb("takeover", _takeover, "cut the power of the engine's host and time the rest")
    added.add_argument("--json", action="store_true")
    verb("report", _report, "show each boot of the engine; fails when two lived at once")


def _add_host_verbs(verb: AddVerb) -> None:
    added = verb("on", _on, "run a command in a host")
    added.add_argument("host")
    added.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND")
    for name, run, text in (
        ("power-off", _power_off, "cut a host's power"),
        ("power-on", _power_on, "switch a host on"),
        ("shutdown", _shutdown, "shut a host down in order"),
        ("reboot", _reboot, "have a host restart itself by `systemctl reboot`"),
    ):
        verb(name, run, text).add_argument("host")
    added = verb("install", _install, "have a host install or upgrade the product by apt-get")
    added.add_argument("host")
    added.add_argument(
        "package", nargs="?", type=Path, metavar="FILE", help="none: this checkout's package"
    )
    added = verb("storage", _storage, "hang, fail or heal a host's path to the SAN")
    added.add_argument("host")
    added.add_argument("action", choices=(*san.FAULTS, "heal"))
    added = verb("network", _network, "pull a host's network cable, lose what it sends, or heal it")
    added.add_argument("host")
    added.add_argument("action", choices=("cut", "drop", "heal"))
    added = verb("bridge", _bridge, "take a host's management bridge down or up")
    added.add_argument("host")
    added.add_argument("action", choices=("down", "up"))
    added = verb("clock", _clock, "shift a host's wall clock")
    added.add_argument("host")
    added.add_argument("offset", type=_offset, metavar="+-SECONDS")


def _add_engine_verbs(verb: AddVerb) -> None:
    verb("gateway", _gateway, "take the gateway down or up").add_argument(
        "action", choices=("down", "up")
    )
    verb(
        "watch-page", _watch_page, "ask the engine's page every 50 ms; prints the longest gap"
    ).add_argument("--seconds", type=_seconds, default=10.0, metavar="S")
    added = verb(
        "maintenance-rounds",
        _maintenance_rounds,
        "local maintenance of each host in turn, the engine moving away; prints the figures",
    )
    added.add_argument("--rounds", type=whole_number(1, 1000), default=10, metavar="N")
    added.add_argument("--record", type=Path, metavar="FILE", help="all that was seen, as JSON")
    added = verb("picture", _picture, "draw the round that maintenance-rounds has recorded (SVG)")
    added.add_argument("record", type=Path, metavar="FILE")
    verb("engine", _engine, "do something to the engine VM").add_argument(
        "deed", choices=engine.DEEDS
    )


def _watch_page(_places: Places, options: argparse.Namespace) -> int:
    print(json.dumps(vars(page.watch(options.seconds))))  # also when it is interrupted
    return 0


def _maintenance_rounds(places: Places, options: argparse.Namespace) -> int:
    lab = _lab(places)
    state.log_event(places, "maintenance-rounds", [str(options.rounds)])
    found = rounds.go(places, lab, options.rounds, say)
    print("\n".join(rounds.as_text(found)))
    if options.record:
        options.record.write_text(json.dumps(found), encoding="utf-8")
    return 0


def _picture(_places: Places, options: argparse.Namespace) -> int:
    try:
        found = json.loads(options.record.read_text(encoding="utf-8"))
        print(moves_picture.draw(found), end="")
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"{options.record}: no record of a round: {error!r}") from error
    return 0


def _up(places: Places, options: argparse.Namespace) -> int:
    features.require()
    with state.changing(places):
        lifecycle.up(places, size(options), options.bare, say)
    say("up")
    return 0


def _down(places: Places, options: argparse.Namespace) -> int:
    _require_root()
    with state.changing(places):
        lifecycle.down(places)
        if options.purge:
            lifecycle.purge(places)
    say("down" if options.purge else f"down; kept for the next time: {places.cache}")
    return 0


def _check(_places: Places, _options: argparse.Namespace) -> int:
    lacking = features.missing()
    for name in lacking:
        print(name)
    return 1 if lacking else 0


def _status(places: Places, options: argparse.Namespace) -> int:
    found = status.collect(places, _lab(places))
    print(json.dumps(found) if options.json else status.as_text(found))
    return 0


def _wait(places: Places, options: argparse.Namespace) -> int:
    lab = _lab(places)
    for name in (options.on, options.not_on):
        if name is not None:
            state.check_host(lab, name)

    def there() -> bool:
        hosts = [one.host for one in engine.running(places, lab)]
        if len(hosts) != 1 or (options.on and hosts != [options.on]) or hosts == [options.not_on]:
            return False
        return lan.engine_is_healthy()

    place = f" on {options.on}" if options.on else ""
    place = f" elsewhere than on {options.not_on}" if options.not_on else place
    wait_until(f"engine healthy{place}", there, options.timeout, 0.2)
    return 0


def _takeover(places: Places, options: argparse.Namespace) -> int:
    lab = _lab(places)
    state.log_event(places, "takeover")
    boot_s = state.noted_value(places, "guest-boot-s") or 0.0
    tell = (lambda _text: None) if options.json else say
    taken = timeline.watch_power_cut(places, lab, boot_s, tell)
    print(json.dumps(taken.figures()) if options.json else "\n".join(taken.as_text()))
    return 0


def _report(places: Places, _options: argparse.Namespace) -> int:
    _lab(places)
    found = report.boots(places)
    print("\n".join(report.as_text(found)))
    return 0 if report.ran_nowhere_twice(found) else 1


def _on(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    if options.command[:1] == ["--"]:
        options.command.pop(0)
    if not options.command:
        raise LabError("on: no command given")
    command = host.command_in(host.require_leader(places, options.host), options.command)
    sys.stdout.flush()
    os.execvp(command[0], command)


def _power_off(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    cut_at_s = host.power_off(places, options.host)
    state.log_event(places, "power-off", [options.host], f"cut at {cut_at_s:.3f}")
    return 0


def _power_on(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    state.log_event(places, "power-on", [options.host])
    if not host.power_on(places, options.host):
        say(f"{options.host} is on, but its start has not finished yet")
    return 0


def _shutdown(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    state.log_event(places, "shutdown", [options.host])
    host.shutdown(places, options.host)
    return 0


def _reboot(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    state.log_event(places, "reboot", [options.host])
    took_s, started = host.reboot(places, options.host)
    say(f"{options.host} was off after {took_s:.1f} s, and is on again")
    if not started:
        say("its start has not finished yet")
    return 0


def _install(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    if options.package is None:
        product.build(places)
    file = options.package or product.package(places)
    state.log_event(places, "install", [options.host, file.name])
    product.hand_over(places, options.host, file)
    product.install(places, options.host)
    return 0


def _storage(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    state.log_event(places, "storage", [options.host, options.action])
    if options.action == "heal":
        san.heal(places, options.host)
    else:
        san.set_fault(places, options.host, options.action)
    return 0


def _network(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    state.log_event(places, "network", [options.host, options.action])
    host.set_network(places, options.host, options.action)
    return 0


def _bridge(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    state.log_event(places, "bridge", [options.host, options.action])
    host.set_bridge(places, options.host, options.action)
    return 0


def _clock(places: Places, options: argparse.Namespace) -> int:
    _lab_with(places, options.host)
    raise LabError(
        f"clock {options.host} {options.offset:+d}: this kernel has one wall clock for all hosts "
        "(its time namespaces have monotonic and boot clocks only); nothing changed"
    )


def _gateway(places: Places, options: argparse.Namespace) -> int:
    _lab(places)
    if lan.gateway_is_up() == (options.action == "up"):
        raise LabError(f"the gateway is {options.action} already")
    state.log_event(places, "gateway", [options.action])
    if options.action == "up":
        lan.gateway_up()
    else:
        lan.gateway_down()
    return 0


def _engine(places: Places, options: argparse.Namespace) -> int:
    lab = _lab(places)
    state.log_event(places, "engine", [options.deed])
    engine.do(places, lab, options.deed)
    return 0


def _lab(places: Places) -> state.Lab:
    _require_root()
    return state.load(places)


def _lab_with(places: Places, name: str) -> None:
    state.check_host(_lab(places), name)


def _require_root() -> None:
    if os.geteuid() != 0:
        raise LabError("needs root rights: sudo")
