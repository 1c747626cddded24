# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What a script can say: the verbs, what stands behind them, and how a command is read. Pure.

A command is what one would type after ``./lab/lab``. A verb's pattern has literal words,
choices (``hang|fail``), and kinds of arguments in capitals; a last word ending in ``...``
takes one or more. Choices and arguments are handed on in their order. `action` names what is
done: a method of the cluster, of the host that is named first, or one of `verbs`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Callable, Optional, Union

from metadata.error_words import shown
from metadata.layout import MAX_HOSTS

Value = Union[str, int, float, bool]
Hosts = Sequence[str]

DOMAIN = "HostedEngine"
MOST_S = 86_400
MOST_MIB = 16_777_216


class CommandRefusedError(ValueError):
    """A command that can't be understood; the message says what is allowed instead."""


@dataclass(frozen=True)
class Verb:
    """One form of a command. `extra` follows the arguments; `in_lab`: the lab has it too."""

    pattern: str
    action: str
    extra: tuple[Value, ...] = ()
    in_lab: bool = False

    @property
    def tokens(self) -> list[str]:
        """The words of the pattern."""
        return self.pattern.split()


@dataclass(frozen=True)
class ParsedCommand:
    """A command that was understood; `text` is its usual form."""

    verb: Verb
    arguments: tuple[Value, ...]
    text: str


@dataclass(frozen=True)
class ArgumentKind:
    """A kind of argument: what is allowed, in words, and its value (None: refused)."""

    allowed: str
    read: Callable[[str, Hosts], Optional[Value]]


def _number(low: float, high: float, allowed: str, whole: bool = False) -> ArgumentKind:
    pattern = re.compile(r"-?\d{1,9}" if whole else r"-?\d{1,9}(\.\d{1,6})?", re.ASCII)

    def read(word: str, _hosts: Hosts) -> Optional[Value]:
        if not pattern.fullmatch(word):
            return None
        value = int(word) if whole else float(word)
        return value if low <= value <= high else None

    return ArgumentKind(allowed, read)


def _shift(word: str, _hosts: Hosts) -> Optional[Value]:
    return int(word) if re.fullmatch(r"[+-]\d{1,9}", word, re.ASCII) else None


def _unit(word: str, _hosts: Hosts) -> Optional[Value]:
    name = word[: -len(".service")] if word.endswith(".service") else word
    return name if name in UNITS else None


def _target(word: str, hosts: Hosts) -> Optional[Value]:
    match = re.fullmatch(r"qemu\+tcp://([^/]*)/system", word)
    return match.group(1) if match and match.group(1) in hosts else None


UNITS = ("ha-agent", "ha-broker", "sanlock", "libvirtd")
HOST = "HOST"
KINDS: Mapping[str, ArgumentKind] = {
    HOST: ArgumentKind("a host of this world", lambda word, hosts: word if word in hosts else None),
    "SECONDS": _number(1e-6, MOST_S, f"seconds, above 0 and at most {MOST_S}"),
    "SHIFT": ArgumentKind("seconds with a sign, such as +90 or -90", _shift),
    "LOAD": _number(0, 1, "a fraction of all CPUs, from 0 to 1"),
    "MIB": _number(0, MOST_MIB, f"MiB, a whole number from 0 to {MOST_MIB}", whole=True),
    "PPM": _number(-10_000, 10_000, "a number from -10000 to 10000"),
    "COUNT": _number(1, 1_000_000, "a whole number from 1 to 1000000", whole=True),
    "SLOT": _number(0, MAX_HOSTS, f"a whole number from 0 to {MAX_HOSTS}", whole=True),
    "PATH": ArgumentKind(
        "an absolute path", lambda word, _hosts: word if word[:1] == "/" else None
    ),
    "UNIT...": ArgumentKind(f"one or more of {', '.join(UNITS)}", _unit),
    "TARGET": ArgumentKind("qemu+tcp://HOST/system with a host of this world", _target),
}


def _lab(pattern: str, action: str, *extra: Value) -> Verb:
    return Verb(pattern, action, extra, in_lab=True)


def _sim(pattern: str, action: str, *extra: Value) -> Verb:
    return Verb(pattern, action, extra)


VERBS: tuple[Verb, ...] = (
    _lab("power-off HOST", "host.power_off"),
    _lab("power-on HOST", "host.power_on"),
    _lab("shutdown HOST", "host.shutdown"),
    _sim("suspend HOST", "host.suspend"),
    _sim("pause HOST", "host.pause"),
    _sim("resume HOST", "host.resume"),
    _lab("storage HOST hang", "host.storage.hang"),
    _lab("storage HOST fail", "host.storage.fail"),
    _lab("storage HOST heal", "host.storage.heal"),
    _sim("storage HOST slow SECONDS", "host.storage.slow"),
    _sim("storage HOST flap SECONDS", "host.storage.flap"),
    _lab("network HOST cut", "host.network_cut"),
    _lab("network HOST drop", "host.network_drop"),
    _lab("network HOST heal", "host.network_heal"),
    _sim("network HOST HOST cut|drop|heal", "cluster.part"),
    _sim("uplink HOST cut|unplug|heal", "host.uplink"),
    _lab("bridge HOST down|up", "host.bridge"),
    _sim("cpu HOST LOAD", "host.cpu"),
    _sim("memory HOST MIB", "host.memory"),
    _lab("gateway down", "cluster.gateway_down"),
    _lab("gateway up", "cluster.gateway_up"),
    _sim("gateway HOST down|up", "host.gateway"),
    _sim("name-server answers-in SECONDS", "cluster.name_server_answers_in"),
    _lab("engine kill", "cluster.engine_kill"),
    _lab("engine crash", "cluster.engine_crash"),
    _lab("engine hang", "cluster.engine_hang"),
    _lab("engine stop-service", "cluster.engine_stop_service"),
    _lab("engine start-service", "cluster.engine_start_service"),
    _lab("engine shutdown", "cluster.engine_shutdown"),
    _sim("engine pause", "cluster.engine_pause"),
    _sim("engine boots-in SECONDS", "cluster.engine_boots_in"),
    _sim("engine never-shuts-down on", "cluster.engine_never_shuts_down", True),
    _sim("engine never-shuts-down off", "cluster.engine_never_shuts_down", False),
    _lab("clock HOST SHIFT", "host.clock_step"),
    _sim("drift HOST PPM", "host.clock_drift"),
    _lab(
        "on HOST hosted-engine --set-maintenance --mode=global|--mode=local|--mode=none",
        "verbs.set_maintenance",
    ),
    _lab("on HOST hosted-engine --vm-start", "operator.vm_start"),
    _lab("on HOST hosted-engine --vm-shutdown", "operator.vm_shutdown"),
    _lab("on HOST hosted-engine --vm-poweroff", "operator.vm_poweroff"),
    _lab("on HOST hosted-engine --vm-migrate", "operator.vm_migrate"),
    _lab("on HOST hosted-engine --vm-migrate --to HOST", "operator.vm_migrate"),
    _lab("on HOST hosted-engine --vm-status", "verbs.vm_status"),
    _lab("on HOST hosted-engine --vm-status --json", "verbs.vm_status_json"),
    _lab("on HOST hosted-engine --vm-status --metadata PATH", "verbs.volume_status"),
    _lab("on HOST hosted-engine --explain", "verbs.explain"),
    _lab("on HOST systemctl start|stop|restart UNIT...", "verbs.systemctl"),
    _lab("on HOST systemctl kill UNIT...", "verbs.systemctl_kill"),
    _lab(
        "on HOST systemctl kill --signal=SIGKILL|--signal=SIGSTOP|--signal=SIGCONT UNIT...",
        "verbs.systemctl",
    ),
    _lab(f"on HOST virsh suspend {DOMAIN}", "operator.suspend"),
    _lab(f"on HOST virsh resume {DOMAIN}", "operator.resume"),
    _lab(f"on HOST virsh shutdown {DOMAIN}", "operator.shutdown"),
    _lab(f"on HOST virsh destroy {DOMAIN}", "operator.destroy"),
    _lab(f"on HOST virsh migrate --live --p2p {DOMAIN} TARGET", "cluster.migrate", True),
    _sim("sanlock HOST busy COUNT", "host.sanlock.be_busy"),
    _sim("libvirt HOST hang", "host.libvirt.hang"),
    _sim("libvirt HOST lose-events", "host.libvirt.lose_events"),
    _sim("libvirt HOST heal", "host.libvirt.heal"),
    _sim("libvirt HOST holds save|dump|snapshot|migration", "host.libvirt.hold"),
    _sim("migrate HOST HOST finishes", "cluster.migrate", True),
    _sim("migrate HOST HOST fails", "cluster.migrate", False),
    _sim("migrate HOST HOST gap SECONDS finishes|refused|sticks|keeps|hangs", "cluster.migrate"),
    _sim("moves end finishes|fails|refused|sticks|keeps|hangs", "cluster.moves"),
    _sim("moves end finishes|fails|refused|sticks|keeps|hangs gap SECONDS", "cluster.moves"),
    _sim("slot SLOT garbage|torn|stale|zero|too-new", "cluster.slot"),
    _sim("config garbage|zero|backup", "cluster.config"),
    _sim("daemon HOST ha-agent|ha-broker kill|freeze after COUNT calls", "host.after_calls"),
    _sim("start HOST fails", "host.libvirt.start_fails", True),
    _sim("start HOST works", "host.libvirt.start_fails", False),
    _sim("mail hang", "cluster.mail_hang"),
    _sim("mail fail", "cluster.mail_fail"),
    _sim("mail heal", "cluster.mail_heal"),
)


def parse_command(text: str, hosts: Hosts) -> ParsedCommand:
    """The command in `text`, for a world with these hosts; raises CommandRefusedError."""
    words = text.split()
    tries = [_match(verb, words, hosts) for verb in VERBS]
    for found in tries:
        if found.complete:
            return ParsedCommand(found.verb, tuple(found.values), " ".join(words))
    raise CommandRefusedError(_refusal(words, tries, hosts))


# --- matching -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Try:
    """How far `words` follow a verb's pattern."""

    verb: Verb
    reached: int
    values: list[Value]
    complete: bool


def _match(verb: Verb, words: Sequence[str], hosts: Hosts) -> _Try:
    values: list[Value] = []
    tokens = verb.tokens
    for index, word in enumerate(words):
        token = _token(tokens, index)
        accepted = None if token is None else _accept(token, word, hosts)
        if accepted is None:
            return _Try(verb, index, values, False)
        values += accepted
    return _Try(verb, len(words), values, len(words) >= len(tokens))


def _token(tokens: list[str], index: int) -> Optional[str]:
    if index < len(tokens):
        return tokens[index]
    return tokens[-1] if tokens[-1].endswith("...") else None


def _accept(token: str, word: str, hosts: Hosts) -> Optional[list[Value]]:
    """What `word` hands on in the place of `token`; None: it does not fit."""
    kind = KINDS.get(token)
    if kind is not None:
        value = kind.read(word, hosts)
        return None if value is None else [value]
    if "|" in token:
        return [word] if word in token.split("|") else None
    return [] if word == token else None


# --- refusing -----------------------------------------------------------------------------


def _refusal(words: Sequence[str], tries: Sequence[_Try], hosts: Hosts) -> str:
    if not words:
        return f"no command; allowed: {_first_words()}"
    reached = max(found.reached for found in tries)
    if reached == 0:
        return f"unknown verb {shown(words[0])}; allowed: {_first_words()}"
    nearest = [found.verb for found in tries if found.reached == reached]
    begun = " ".join(words[:reached])
    tokens = [_token(verb.tokens, reached) for verb in nearest]
    if HOST in tokens and reached < len(words):
        return f"unknown host {shown(words[reached])}; allowed: {', '.join(hosts)}"
    rest = _unique(" ".join(verb.tokens[reached:]) for verb in nearest if _more(verb, reached))
    if not rest:
        return f"{shown(words[reached])} is too much; allowed: {begun}"
    wrong = f"{shown(words[reached])} is refused" if reached < len(words) else "not complete"
    return f"{begun}: {wrong}; allowed: {', '.join(rest)}{_explained(tokens)}"


def _more(verb: Verb, reached: int) -> bool:
    return _token(verb.tokens, reached) is not None


def _explained(tokens: Sequence[Optional[str]]) -> str:
    kinds = _unique(token for token in tokens if token in KINDS)
    texts = [f"{kind}: {KINDS[kind].allowed}" for kind in kinds]
    return f" ({'; '.join(texts)})" if texts else ""


def _first_words() -> str:
    return ", ".join(_unique(verb.tokens[0] for verb in VERBS))


def _unique(texts: Iterable[Optional[str]]) -> list[str]:
    return list(dict.fromkeys(text for text in texts if text))
