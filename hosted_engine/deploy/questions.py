# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Asking for the answers of ``--deploy`` on a terminal, each checked at once as a file's are.

Without a file everything is asked that has no certain answer; with one, only what it lacks and
what nobody could guess. Which questions there are depends on what the storage holds.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Callable, Optional, Protocol

from hosted_engine.cluster.storage_survey import AreaKind
from hosted_engine.deploy.answers import Answers, given_sections, parse_answers
from hosted_engine.deploy.check_input import CheckedStorage, look_at_storage, read_engine
from hosted_engine.deploy.findings import Level
from hosted_engine.deploy.lockspace_survey import sanlock_of
from hosted_engine.deploy.plan import FIRST_HOST_ID, Join, NewEngine, Plan, Refused, ThisHost, plan
from hosted_engine.errors import CommandError
from hosted_engine.host.environment import Environment
from metadata.settings.parse import Timing
from world.ports.errors import WorldError

NONE = "-"
_SOURCE = "answers"
_NUMBERS = ("host_id", "io_timeout_s")
_WHOLE = re.compile(r"[0-9]{1,18}")
_PLACEHOLDERS = {"storage": {"path": "/x"}, "engine": {"domain_xml_file": "/x"}}


class Questioner(Protocol):
    """Somebody who answers."""

    def ask(self, prompt: str) -> str:
        """One line; raises CommandError when there is none to come."""

    def agrees(self, question: str) -> bool:
        """Yes or no; raises CommandError as `ask` does."""


def real_terminal() -> Optional[Questioner]:
    """The terminal that this command was started on; None: there is none."""
    if sys.stdin is None or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return _RealTerminal()


class _RealTerminal:
    def ask(self, prompt: str) -> str:
        try:
            return input(prompt).strip()
        except EOFError:
            print()
            raise CommandError("the input ended: nothing was changed") from None
        except KeyboardInterrupt:
            print()
            raise CommandError("interrupted: nothing was changed") from None

    def agrees(self, question: str) -> bool:
        return self.ask(f"{question} [y/N] ").lower() in ("y", "yes")


def ask_answers(
    world: Environment,
    given: object,
    terminal: Optional[Questioner],
    source: str,
    force: bool = False,
) -> tuple[Answers, Optional[Mapping[Any, Any]]]:
    """Whole answers and, where anything was asked, their plain data; raises CommandError.

    `given` is the file's plain data; None without a file.
    """
    if given is not None and (terminal is None or not isinstance(given, Mapping)):
        return parse_answers(given, source), None
    assert terminal is not None, "without a file there must be somebody to ask"
    data = given_sections(given or {})
    _refuse_what_is_wrong(data, source)
    dialogue = _Dialogue(world, terminal, data, force)
    dialogue.ask_storage()
    if given is None:
        dialogue.ask_host()
    dialogue.ask_engine(whole=given is None)
    return parse_answers(dialogue.data, source), dialogue.data if dialogue.asked else None


def _refuse_what_is_wrong(given: Mapping[Any, Any], source: str) -> None:
    """Raise CommandError before anybody is asked for the rest."""
    filled = {"storage": {}, **given}
    for name, least in _PLACEHOLDERS.items():
        if isinstance(filled.get(name), Mapping):
            filled[name] = {**least, **filled[name]}
    parse_answers(filled, source)


@dataclass(frozen=True)
class _Question:
    """One question.

    With `optional` there may be no value at all. A default that is not `kept` stands for what
    is decided later. `check` raises CommandError for what the answers' own rules can't know.
    """

    section: str
    key: str
    text: str
    default: str = ""
    optional: bool = False
    kept: bool = True
    check: Callable[[str], object] = str

    @property
    def prompt(self) -> str:
        """``Management bridge (- for none) [br0]: ``."""
        hint = f" ({NONE} for none)" if self.optional else ""
        shown = f" [{self.default or NONE}]" if self.default or self.optional else ""
        return f"{self.text}{hint}{shown}: "


class _Dialogue:
    """Fills `data`, which has the shape of the answers' file."""

    def __init__(
        self, world: Environment, terminal: Questioner, data: dict[Any, Any], force: bool
    ) -> None:
        self.data = data
        self.asked = False
        self._world = world
        self._terminal = terminal
        self._force = force
        self._look: Optional[CheckedStorage] = None

    # --- the questions ----------------------------------------------------------------------

    def ask_storage(self) -> None:
        """Where it is; what it holds is said."""
        if "path" not in _section(self.data, "storage"):
            text = "Shared storage (a file or block device)"
            self._ask(_Question("storage", "path", text, check=self._check_storage))

    def ask_host(self) -> None:
        """How this host is called, and its place in the network."""
        bridge, gateway = self._network()
        self._ask(_Question("host", "host_name", "Name of this host", self._world.host_name))
        proposed, check_id = self._proposed_id(), self._check_host_id
        self._ask(_Question("host", "host_id", "Host id", proposed, kept=False, check=check_id))
        text, check_bridge = "Management bridge", self._check_bridge
        self._ask(_Question("host", "bridge", text, bridge, optional=True, check=check_bridge))
        self._ask(_Question("host", "gateway", "Gateway", gateway, optional=True))

    def ask_engine(self, whole: bool) -> None:
        """A new cluster's engine; nothing where there is a cluster to be joined."""
        if not self._creates() or "domain_xml_file" in _section(self.data, "engine"):
            return
        text = "File with the engine's domain XML"
        self._ask(_Question("engine", "domain_xml_file", text, check=self._check_domain))
        if not whole:
            return
        self._ask(_Question("engine", "fqdn", "The engine's host name", optional=True))
        if not _section(self.data, "engine")["fqdn"]:
            self._ask(_Question("engine", "health_url", "Its health page's address", optional=True))
        text = "sanlock's io_timeout in seconds"
        self._ask(_Question("sanlock", "io_timeout_s", text, str(Timing.io_timeout_s)))

    # --- one question -----------------------------------------------------------------------

    def _ask(self, question: _Question) -> None:
        """Ask until the answer can be used."""
        self.asked = True
        while True:
            typed = self._terminal.ask(question.prompt)
            if not typed and not question.kept:
                return
            value = typed or question.default
            value = "" if question.optional and value == NONE else value
            why = self._problem(question, value)
            if not why:
                section = _section(self.data, question.section)
                new = {**section, question.key: _typed(question.key, value)}
                self.data[question.section] = new
                return
            self._world.say(f"  {why}")

    def _problem(self, question: _Question, value: str) -> str:
        """Why it can't be; empty: it can."""
        if not value and not question.optional:
            return "it is needed"
        try:
            _check_alone(question, value)
            question.check(value)
        except CommandError as error:
            return error.message
        return ""

    # --- what the answers' rules can't know -------------------------------------------------

    def _check_storage(self, path: str) -> None:
        """It can be used, and what it holds can be joined or written over."""
        answers = parse_answers({"storage": {"path": path}}, _SOURCE)
        look = look_at_storage(self._world, answers)
        if look.survey is None or look.volumes.level is Level.FAIL:
            raise CommandError("; ".join([look.volumes.detail, *look.volumes.mend]))
        kind = look.survey.kind
        if kind in (AreaKind.FOREIGN, AreaKind.BROKEN_CLUSTER) and not self._force:
            raise CommandError(
                f"it is in use: it holds {look.survey.found}; to destroy what is there, run this "
                "with --force"
            )
        self._look = look
        self._world.say(f"  it holds {look.survey.found or 'nothing yet: a new cluster is made'}")

    def _check_host_id(self, value: str) -> None:
        """It is free, or this host's own from before."""
        chosen = self._planned({"host_id": int(value)})
        if isinstance(chosen, Refused):
            raise CommandError(chosen.why)

    def _check_bridge(self, value: str) -> None:
        """There is one of that name."""
        if value and self._world.probes.bridge(value) is None:
            there = ", ".join(self._world.probes.bridges()) or "none"
            raise CommandError(f"this host has no {value} (its bridges: {there})")

    def _check_domain(self, value: str) -> NewEngine:
        """The file can be read, and carries the engine's lease."""
        engine = {"engine": {"domain_xml_file": value}}
        return read_engine(parse_answers({**self.data, **engine}, ""), self._looked().parts)

    # --- what is known already --------------------------------------------------------------

    def _looked(self) -> CheckedStorage:
        if self._look is None:
            self._look = look_at_storage(
                self._world, parse_answers({"storage": self.data["storage"]}, _SOURCE)
            )
        return self._look

    def _creates(self) -> bool:
        if "engine" in self.data or self._force:
            return True
        found = self._looked().survey
        return found is not None and found.kind in (AreaKind.BLANK, AreaKind.HALF_MADE)

    def _proposed_id(self) -> str:
        """What it would be now; another host may be quicker, so it is no answer yet."""
        chosen = self._planned({})
        if not isinstance(chosen, Join):
            return str(FIRST_HOST_ID)
        first, *others = chosen.candidates
        return f"{first}, or the next that is free" if others else str(first)

    def _planned(self, host: Mapping[str, Any]) -> Optional[Plan]:
        """What joining with the answers until now and `host` comes to; None: nothing to join."""
        look = self._looked()
        if self._creates() or look.survey is None:
            return None
        data = {**self.data, "host": {**_section(self.data, "host"), **host}}
        this_host = ThisHost(self._world.host_name, self._sanlock_name(look))
        return plan(parse_answers(data, _SOURCE), look.survey, this_host)

    def _sanlock_name(self, look: CheckedStorage) -> str:
        """The checks will tell what is wrong with a daemon that does not."""
        try:
            return sanlock_of(self._world, look.parts).daemon_host_name()
        except (WorldError, CommandError):
            return ""

    def _network(self) -> tuple[str, str]:
        """The cluster's bridge and gateway, else this host's own."""
        found = self._looked().survey
        if found is not None and found.config is not None and not self._creates():
            network = found.config.settings.network
            return network.bridge, network.gateway or self._world.gateway
        bridges = self._world.probes.bridges()
        return (bridges[0] if bridges else ""), self._world.gateway


def _check_alone(question: _Question, value: str) -> None:
    """By the rules that hold for a file; raises CommandError without the key's name."""
    section = {**_PLACEHOLDERS.get(question.section, {}), question.key: _typed(question.key, value)}
    try:
        parse_answers({"storage": _PLACEHOLDERS["storage"], question.section: section}, _SOURCE)
    except CommandError as error:
        _, _, why = error.message.partition(f"{question.key}: ")
        raise CommandError(why or error.message) from error


def _section(data: Mapping[Any, Any], name: str) -> Mapping[Any, Any]:
    found = data.get(name)
    return found if isinstance(found, Mapping) else {}


def _typed(key: str, value: str) -> object:
    """What YAML would make of it."""
    return int(value) if key in _NUMBERS and _WHOLE.fullmatch(value) else value
