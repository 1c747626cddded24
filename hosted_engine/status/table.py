# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--vm-status`` at a glance: the engine in a few lines, then a table with a row per host. Pure.

It is for people at a terminal; programs get the text form or JSON. A row never wraps: what
does not fit the terminal's width is shortened, the reasons for a low score first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

from ha_broker.api import penalties_line
from ha_broker.api.snapshot import HostView
from hosted_engine.cli.wording import span
from hosted_engine.cluster.cluster_status import (
    UNDECIDED,
    ClusterStatus,
    is_undecided,
    shown_name,
)
from metadata.plain_text import ascii_text
from metadata.records import EngineVm, Health, HostRecord

GAP = "  "
NOTHING = "-"
SHORTENED = "~"
_LONGEST_CELL = 300
_LEAST_WIDTH = 8

PLAIN, STRONG, FAINT, GOOD, WARN, BAD = "", "1", "2", "32", "33", "31"
"""How a cell looks, as parameters of the terminal's escape code."""

_TITLES = ("Host", "State", "Score", "Engine", "Lease", "Maint.", "Age", "Points off")
_LEASE, _AGE, _POINTS_OFF = 4, 6, 7
# These say nothing where nobody knows or has anything of the kind.
_OPTIONAL = (_LEASE, _AGE, _POINTS_OFF)
# What may be shortened, in this order; a score or an age cut short would be another one.
_SHORTENED_FIRST = (_POINTS_OFF, 3, 1, 0)


@dataclass(frozen=True)
class Cell:
    """A text and how it looks."""

    text: str
    look: str = PLAIN


Row = tuple[Cell, ...]


def status_table(
    status: ClusterStatus, columns: int, colour: bool, most_hosts: Optional[int] = None
) -> list[str]:
    """The lines; of more than `most_hosts` hosts the most notable ones are shown."""
    hosts = sorted(status.hosts, key=lambda host: host.host_id)
    shown = hosts if most_hosts is None else _most_notable(status, hosts, most_hosts)
    lines = _summary(status, hosts)
    lines += [(Cell(f"!! {_plain(note)}", WARN),) for note in status.notes]
    painted = [_paint(line, columns, colour) for line in lines]
    if shown:
        painted += ["", *_grid(status, shown, columns, colour)]
    if len(shown) < len(hosts):
        rest = f"... and {len(hosts) - len(shown)} more hosts"
        painted.append(_paint((Cell(rest, FAINT),), columns, colour))
    return painted


# --- the cluster ----------------------------------------------------------------------------


def _summary(status: ClusterStatus, hosts: Sequence[HostView]) -> list[Row]:
    counts = (
        (sum(host.is_current for host in hosts), "live"),
        (sum(is_undecided(host) for host in hosts), UNDECIDED),
        (sum(_is_stale(host) for host in hosts), "STALE"),
        (sum(host.record is None for host in hosts), "UNREADABLE"),
        (sum(_in_maintenance(host) for host in hosts), "in local maintenance"),
    )
    told = ", ".join(f"{count} {word}" for count, word in counts if count)
    lines = [
        ("Engine", _engine_line(hosts)),
        *([("Lease", _lease_line(status))] if status.lease else []),
        ("Global maintenance", _MAINTENANCE[status.global_maintenance]),
        ("Hosts", Cell(f"{len(hosts)}: {told}" if told else "none has written its status yet")),
    ]
    return [(Cell(f"{title:<18}{GAP}"), cell) for title, cell in lines]


_MAINTENANCE = {
    True: Cell("ON: nobody starts, stops or moves the engine", WARN),
    False: Cell("off"),
    None: Cell("not known", WARN),
}


def _engine_line(hosts: Sequence[HostView]) -> Cell:
    running = [host for host in hosts if _runs_engine(host)]
    if not running:
        down = bool(hosts) and all(_knows_engine_down(host) for host in hosts)
        return Cell("down", BAD) if down else Cell("not known to run anywhere", WARN)
    words = [f"{_engine_cell(host).text} on {_host_text(host)}" for host in running]
    return Cell("; ".join(words), _engine_cell(running[0]).look)


def _runs_engine(host: HostView) -> bool:
    return (
        host.is_current and host.record is not None and host.record.engine_status.vm is EngineVm.UP
    )


def _knows_engine_down(host: HostView) -> bool:
    if host.record is None or not host.is_current:
        return False
    return host.record.engine_status.vm not in (EngineVm.UP, EngineVm.UNKNOWN)


def _lease_line(status: ClusterStatus) -> Cell:
    if status.lease_owner_id is None:
        return Cell(status.lease)
    owners = [host for host in status.hosts if host.host_id == status.lease_owner_id]
    return Cell(f"held by {_host_text(owners[0]) if owners else f'host {status.lease_owner_id}'}")


def _is_stale(host: HostView) -> bool:
    return host.record is not None and not host.is_current and not is_undecided(host)


def _in_maintenance(host: HostView) -> bool:
    return host.record is not None and host.record.maintenance


def _most_notable(status: ClusterStatus, hosts: Sequence[HostView], count: int) -> list[HostView]:
    """Those with something to tell, in the usual order of all."""
    by_weight = sorted(hosts, key=lambda host: not _is_notable(status, host))
    return sorted(by_weight[: max(1, count)], key=lambda host: host.host_id)


def _is_notable(status: ClusterStatus, host: HostView) -> bool:
    if not host.is_current or host.error or host.host_id == status.lease_owner_id:
        return True
    return _runs_engine(host) or _in_maintenance(host) or bool(_points_off(host))


# --- the hosts ------------------------------------------------------------------------------


def _grid(
    status: ClusterStatus, hosts: Sequence[HostView], columns: int, colour: bool
) -> list[str]:
    rows = [tuple(Cell(title, STRONG) for title in _TITLES)]
    rows += [_row(status, host) for host in hosts]
    kept = [
        column
        for column in range(len(_TITLES))
        if column not in _OPTIONAL or any(row[column].text != NOTHING for row in rows[1:])
    ]
    widths = _widths(rows, kept, columns)
    return [
        _paint([_fitted(row[column], widths[column]) for column in kept], columns, colour, GAP)
        for row in rows
    ]


def _widths(rows: Sequence[Row], kept: Sequence[int], columns: int) -> dict[int, int]:
    """What each column gets: what it needs, or less where the line would be too long."""
    widths = {column: max(len(row[column].text) for row in rows) for column in kept}
    for column in _SHORTENED_FIRST:
        excess = sum(widths.values()) + len(GAP) * (len(kept) - 1) - columns
        if excess > 0 and column in widths:
            least = min(widths[column], max(_LEAST_WIDTH, len(_TITLES[column])))
            widths[column] = max(least, widths[column] - excess)
    return widths


def _fitted(cell: Cell, width: int) -> Cell:
    return Cell(f"{_cut(cell.text, width):<{width}}", cell.look)


def _row(status: ClusterStatus, host: HostView) -> Row:
    name, nothing = Cell(_host_text(host)), Cell(NOTHING)
    lease = Cell("held" if host.host_id == status.lease_owner_id else NOTHING)
    age_s = status.age_s(host)
    age = nothing
    if age_s is not None:
        age = Cell(span(age_s), PLAIN if host.is_current else WARN)
    problem = Cell(_plain(host.error) or NOTHING, BAD)
    record = host.record
    if record is None:
        unreadable = Cell("UNREADABLE", BAD)
        return (name, unreadable, nothing, Cell("unknown"), lease, nothing, age, problem)
    score_look = FAINT
    if host.is_current:
        score_look = PLAIN if record.score > 0 else BAD
    return (
        name,
        _state(host, record),
        Cell(str(record.score), score_look),
        _engine_cell(host),
        lease,
        Cell("local", WARN) if record.maintenance else nothing,
        age,
        problem if host.error else Cell(_points_off(host) or NOTHING),
    )


def _host_text(host: HostView) -> str:
    return f"{_plain(shown_name(host))} ({host.host_id})"


def _state(host: HostView, record: HostRecord) -> Cell:
    state = _plain(record.state)
    if is_undecided(host):
        return Cell(f"{UNDECIDED}, was {state}", FAINT)
    return Cell(state) if host.is_current else Cell(f"STALE, was {state}", WARN)


def _engine_cell(host: HostView) -> Cell:
    if host.record is None or not host.is_current:
        return Cell("unknown", FAINT)
    engine = host.record.engine_status
    if engine.vm is not EngineVm.UP:
        return Cell(engine.vm.value.replace("_", " "), _DOWN_LOOKS.get(engine.vm, PLAIN))
    detail = "" if engine.detail in ("Up", "") else f" ({_plain(engine.detail)})"
    return Cell(f"up, {_HEALTH_WORDS[engine.health]}{detail}", _HEALTH_LOOKS[engine.health])


_DOWN_LOOKS = {EngineVm.DOWN_UNEXPECTED: BAD, EngineVm.DOWN_MISSING: BAD, EngineVm.UNKNOWN: WARN}
_HEALTH_LOOKS = {Health.GOOD: GOOD, Health.BAD: BAD, Health.UNKNOWN: WARN}
_HEALTH_WORDS = {Health.GOOD: "good", Health.BAD: "bad", Health.UNKNOWN: "health unknown"}


def _points_off(host: HostView) -> str:
    """``network -320, bridge -600``; the reasons are in the text form and in --explain."""
    if host.record is None:
        return ""
    text = dict(host.record.notes).get(penalties_line.KEY, "")
    penalties = penalties_line.read_note(text)
    return ", ".join(f"{one.name} -{one.points}" for one in penalties) or _plain(text)


# --- on the terminal ------------------------------------------------------------------------


def _plain(text: str) -> str:
    """What other hosts wrote goes to a terminal."""
    return ascii_text(text, _LONGEST_CELL)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + SHORTENED


def _paint(cells: Sequence[Cell], columns: int, colour: bool, gap: str = "") -> str:
    """One line of at most `columns` characters, not counting the escape codes."""
    line = gap.join(cell.text for cell in cells).rstrip()
    cut = _cut(line, columns)
    if not colour:
        return cut
    parts, start = [], 0
    for cell in cells:
        end = start + len(cell.text)
        text, between = cut[start:end], cut[end : end + len(gap)]
        painted = f"\x1b[{cell.look}m{text}\x1b[0m" if text and cell.look else text
        parts += [painted, between]
        start = end + len(gap)
    return "".join(parts)
