"""What the hosts' records say of the engine, as far as it decides how often this host looks."""

from __future__ import annotations

from dataclasses import dataclass

from ha_broker.api.snapshot import HostView
from metadata.records import POWERING_DOWN


@dataclass(frozen=True)
class EngineWords:
    """`healthy`: it runs well on a living host. `to_tell`: another host has it by a fresh record,
    so that its next one will tell what became of it where the lease is free.
    """

    healthy: bool = False
    to_tell: bool = False


def words_on_the_engine(views: tuple[HostView, ...], own_id: int) -> EngineWords:
    """Of all hosts together."""
    return EngineWords(
        healthy=any(map(_runs_healthy_engine, views)),
        to_tell=any(_is_to_tell(view) for view in views if view.host_id != own_id),
    )


def _is_to_tell(view: HostView) -> bool:
    """An agent that has stopped writes no next record."""
    record = view.fresh_record
    return record is not None and not record.stopped and record.engine_status.is_up


def _runs_healthy_engine(view: HostView) -> bool:
    """A living host whose record says so and is fresh."""
    record = view.sure_record
    if record is None:
        return False
    status = record.engine_status
    # One that is being stopped may end, and its lease be free, at any moment; so may one whose
    # agent has stopped: that is how a host's shutdown begins.
    stays = status.detail != POWERING_DOWN and not record.stopped
    return status.is_healthy and stays
