# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What ``--deploy`` is about to do, in plain lines, before it does anything. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hosted_engine.cluster.storage_survey import Survey
from hosted_engine.deploy.plan import Create, Deployed, Join, LifeWatch, Plan
from hosted_engine.host.units import IN_STARTING_ORDER
from metadata.layout import MIB, extents
from metadata.settings.timing import join_s


@dataclass(frozen=True)
class Preview:
    """The plan, the findings, and the files that are written."""

    survey: Survey
    settings_file: str
    answers_file: str

    def lines(self, chosen: Plan) -> list[str]:
        """What `chosen` comes to; empty for a plan that is refused."""
        if isinstance(chosen, Create):
            return list(self._create(chosen))
        if isinstance(chosen, Join):
            return list(self._join(chosen))
        if isinstance(chosen, Deployed):
            return [_start(), self._answers()]
        return []

    def _create(self, chosen: Create) -> Iterator[str]:
        yield from self._watch(chosen.watch, "nothing is formatted then")
        if chosen.lost:
            yield f"DESTROY what is there: {chosen.lost}"
        yield f"format {len(extents(self.survey.parts))} areas: {self._areas()}"
        io_timeout_s = chosen.settings.timing.io_timeout_s
        yield _join_line(str(chosen.host_id), io_timeout_s)
        page = chosen.settings.engine.page_url or "none"
        name = chosen.settings.engine.domain_name
        yield f"store the cluster's settings and the engine's domain {name}; health page: {page}"
        network = chosen.settings.network
        yield self._host(chosen.host_name, network.bridge, network.gateway)
        yield _start()
        yield self._answers()

    def _join(self, chosen: Join) -> Iterator[str]:
        yield from self._watch(chosen.watch, "its id is not taken then")
        assert self.survey.config is not None
        candidates = chosen.candidates
        wanted = str(candidates[0])
        if len(candidates) > 1:
            wanted += " (or the next one that is free)"
        yield _join_line(wanted, self.survey.config.settings.timing.io_timeout_s)
        yield self._host(chosen.host_name, chosen.bridge, chosen.gateway)
        yield _start()
        yield self._answers()

    def _watch(self, watch: LifeWatch, otherwise: str) -> Iterator[str]:
        if watch.host_ids:
            hosts = ", ".join(self.survey.describe_host(host_id) for host_id in watch.host_ids)
            yield f"look for {watch.wait_s:.0f} s whether {hosts} lives; {otherwise}"

    def _areas(self) -> str:
        """The path is told where it changes."""
        texts, path = [], ""
        for extent in extents(self.survey.parts):
            place = extent.address
            where = "" if place.path == path else f" of {place.path}"
            texts.append(f"{extent.name} at {place.offset / MIB:.12g} MiB{where}")
            path = place.path
        return ", ".join(texts)

    def _host(self, name: str, bridge: str, gateway: str) -> str:
        return (
            f"write {self.settings_file}: host {name}, bridge {bridge or 'none'}, "
            f"gateway {gateway or 'none'}"
        )

    def _answers(self) -> str:
        return f"write {self.answers_file}, the answers for the next host"


def _join_line(host_id: str, io_timeout_s: int) -> str:
    return (
        f"join the lockspace as host id {host_id}, with sanlock's io_timeout at {io_timeout_s} s: "
        f"takes {join_s(io_timeout_s):.0f} s"
    )


def _start() -> str:
    return f"enable and start {' and '.join(IN_STARTING_ORDER)}"
