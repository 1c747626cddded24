# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --history --plot FILE``: the history as a picture."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from hosted_engine.errors import EXIT_OK, CommandError, UsageError
from hosted_engine.history.changes import ToldChange, changes_of
from hosted_engine.history.plot.chart import chart
from hosted_engine.history.plot.svg import svg_bytes
from hosted_engine.history.selection import Selection, host_named, load, selected
from hosted_engine.history.timeline import Past, TimeSpan
from hosted_engine.host.error_lines import writing
from metadata.error_words import shown
from world.durable import replace_file

USUAL_S = 86400.0
# More would be no picture that anybody looks at.
MOST_HOSTS = 64


def run(selection: Selection, target: str) -> int:
    """Write the picture; raises UsageError for another kind of file, else CommandError."""
    path = Path(target)
    if path.suffix.lower() not in (".svg", ".png"):
        raise UsageError(
            f"--plot: {shown(target)} is refused; allowed: a file named *.svg or *.png"
        )
    _, entries, past = load()
    now_s = time.time()
    changes = selected(changes_of(entries), past, selection, now_s)
    from_s = _from_s(past, changes, selection, now_s)
    if from_s > past.to_s:
        raise CommandError("the history ends before that time: choose an earlier --since")
    past = cut(past, from_s)
    if selection.host is not None:
        past = replace(past, hosts=(host_named(past, selection.host),))
    if len(past.hosts) > MOST_HOSTS:
        raise CommandError(f"{len(past.hosts)} hosts are too many for one picture: use --host")
    content = svg_bytes(chart(past))
    if path.suffix.lower() == ".png":
        from hosted_engine.history.plot.png import png_bytes

        content = png_bytes(content)
    with writing(path):
        replace_file(path, content, durable=False)
    print(f"{target}: {len(past.hosts)} hosts, {len(changes)} changes")
    return EXIT_OK


def cut(past: Past, from_s: float) -> Past:
    """`past` from that second on."""
    return replace(
        past,
        from_s=max(past.from_s, from_s),
        hosts=tuple(
            replace(
                host,
                states=_cut_spans(host.states, from_s),
                engine=_cut_spans(host.engine, from_s),
            )
            for host in past.hosts
        ),
        lease=_cut_spans(past.lease, from_s),
        global_maintenance=_cut_spans(past.global_maintenance, from_s),
    )


def _from_s(past: Past, changes: list[ToldChange], selection: Selection, now_s: float) -> float:
    """The wanted beginning; without one, a day before the end."""
    if selection.last is not None:
        shown = changes[-selection.last :]
        return shown[0].at_s if shown else past.to_s
    return past.to_s - USUAL_S if selection.since is None else selection.since(now_s)


def _cut_spans(spans: tuple[TimeSpan[str], ...], from_s: float) -> tuple[TimeSpan[str], ...]:
    left = (span for span in spans if span.to_s > from_s)
    return tuple(replace(span, from_s=max(span.from_s, from_s)) for span in left)
