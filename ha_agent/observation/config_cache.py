# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared configuration as the agent holds it: fetched from the broker when it changes."""

from __future__ import annotations

from typing import Callable, Optional

from ha_agent.ports import BrokerPort
from ha_broker.api.snapshot import ConfigView
from metadata.domain_xml import domain_name, lease_problems
from metadata.error_words import bare_reason, shown
from metadata.settings.parse import ClusterSettings, StorageParts
from metadata.shared_config import SharedConfig
from world.ports.jobs import Outcome, Runner

KEY = "config"


class ConfigCache:
    """Holds the latest shared configuration, and why it can't be used for a start.

    What was held stays while a newer one can't be fetched: decisions need its timings. Until
    the first one arrives the defaults hold, and nothing can be started.
    """

    def __init__(
        self,
        runner: Runner,
        broker: BrokerPort,
        parts: StorageParts,
        on_settings: Callable[[ClusterSettings], None] = lambda _settings: None,
    ) -> None:
        self._runner = runner
        self._broker = broker
        self._parts = parts
        self._on_settings = on_settings
        self._config: Optional[SharedConfig] = None
        self._loaded_at_s: Optional[float] = None
        self._seen_sequence: Optional[int] = None
        self._view_error = ""
        self._fetch_error = ""
        self._xml_problem = ""

    @property
    def settings(self) -> ClusterSettings:
        """The settings to decide by."""
        return self._config.settings if self._config else ClusterSettings()

    @property
    def domain_xml(self) -> str:
        """The XML to start the engine from; empty when there is none."""
        return self._config.domain_xml if self._config else ""

    @property
    def sequence(self) -> Optional[int]:
        """The version that is held; None: none is."""
        return self._config.sequence if self._config else None

    @property
    def loaded_at_s(self) -> Optional[float]:
        """When the present configuration arrived, each in a second of its own; None: never."""
        return self._loaded_at_s

    def look(self, view: ConfigView) -> None:
        """The broker's latest word; a change is fetched with the next `request`."""
        self._view_error = view.error
        if view.sequence is not None:
            self._seen_sequence = view.sequence

    def request(self, again: bool) -> None:
        """Fetch the configuration if a newer one is there; after a failure only if `again`."""
        if self._seen_sequence is None or self._is_held():
            return
        if again or not self._fetch_error:
            self._runner.submit(KEY, self._broker.shared_config)

    def take(self, outcome: Outcome[object]) -> None:
        """Keep what was fetched."""
        config = outcome.value
        if not isinstance(config, SharedConfig):
            error = outcome.error
            self._fetch_error = bare_reason(error) if error else "no configuration came"
            return
        self._config = config
        self._loaded_at_s = _in_a_second_of_its_own(outcome.finished_at_s, self._loaded_at_s)
        self._seen_sequence = config.sequence
        self._fetch_error = ""
        self._xml_problem = _xml_problem(config, self._parts)
        self._on_settings(config.settings)

    def current(self) -> Optional[bool]:
        """Is what is held the newest? False: a newer one can't be fetched; None: not known."""
        if self._config is None or self._seen_sequence is None:
            return None
        if self._is_held():
            return True
        return False if self._fetch_error else None

    def blocked_why(self) -> str:
        """Why the engine can't be started from this configuration; empty: it can."""
        if self._fetch_error and not self._is_held():
            return f"the shared configuration can't be fetched: {self._fetch_error}"
        if self._config is None:
            reason = self._view_error or "the broker has not read it yet"
            return f"there is no shared configuration: {reason}"
        if self._view_error:
            return f"the shared configuration can't be read: {self._view_error}"
        if not self._is_held():
            return "the shared configuration has changed and is being fetched"
        return self._xml_problem

    @property
    def refused_why(self) -> str:
        """Why no start from what is held can ever succeed here; empty: it can."""
        return self._xml_problem

    def _is_held(self) -> bool:
        return self._config is not None and self._config.sequence == self._seen_sequence


def _in_a_second_of_its_own(at_s: float, before_s: Optional[float]) -> float:
    """`at_s`, but in a later second than `before_s`, when the version before it came.

    Records tell it in whole seconds, and a second that is another one is how the others see that
    this host goes by a newer version.
    """
    if before_s is None or int(at_s) > int(before_s):
        return at_s
    return int(before_s) + 1.0


def _xml_problem(config: SharedConfig, parts: StorageParts) -> str:
    problems = lease_problems(config.domain_xml, parts)
    if not problems:
        problems = _name_problems(config)
    return "the domain XML is refused: " + "; ".join(problems) if problems else ""


def _name_problems(config: SharedConfig) -> list[str]:
    """Another name would start a domain that nobody watches."""
    wanted = config.settings.engine.domain_name
    try:
        found = domain_name(config.domain_xml)
    except ValueError as error:
        return [str(error)]
    if found == wanted:
        return []
    return [f"its name is {shown(found)}, the settings say engine.domain_name = {shown(wanted)}"]
