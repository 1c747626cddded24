# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A look at the engine's health page, as a job, and what came of it."""

from __future__ import annotations

from functools import partial
from typing import Callable, cast

from ha_broker.cycle.part import BrokerPorts, Settings, error_text
from world.ports.jobs import Outcome
from world.ports.network import HealthReading


def page_look(world: BrokerPorts, settings: Settings) -> Callable[[], HealthReading]:
    """The job; blocks for as long as the settings allow. The settings name a page."""
    engine = settings.cluster.engine
    return partial(
        world.health_page.check,
        engine.page_url,
        engine.health_text,
        engine.health_timeout_s,
        engine.health_ca_file,
    )


def reading_of(outcome: Outcome[object]) -> HealthReading:
    """What the job saw; a look that broke says nothing of the engine."""
    if outcome.error is not None:
        return HealthReading(False, error_text(outcome.error), known=False)
    return cast(HealthReading, outcome.value)
