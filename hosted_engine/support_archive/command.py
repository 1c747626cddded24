# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --export-status FILE``: what somebody who helps needs, in one archive.

Nothing in it is certain to be had: a daemon may be dead, libvirt may hang, the storage may be gone.
So each source has its own deadline and its own bound, all are collected beside each other, and what
could not be had stands in the manifest with its reason. Secrets are taken out of each.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import queue
import tarfile
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from hosted_engine.errors import EXIT_OK, CommandError, UsageError, say_error
from hosted_engine.history.text import iso_text
from hosted_engine.host.error_lines import writing
from hosted_engine.host.local_host import host_settings
from hosted_engine.support_archive.collect import Output, Programs
from hosted_engine.support_archive.secrets import (
    data_without_secrets,
    known_secrets,
    without_secrets,
)
from hosted_engine.support_archive.sources import (
    HOST_SETTINGS,
    SHARED_CONFIG,
    Source,
    other_sources,
    shared_config_source,
)
from metadata.error_words import reason, shown
from metadata.plain_json import parse_json, parse_json_without
from metadata.settings.parse import EngineSettings
from world.durable import written_beside

USUAL_TOTAL_S = 60.0
MANIFEST = "manifest.json"
_WORKERS = 6
_FIRST_S = 12.0


@dataclass(frozen=True)
class Collected:
    """A source and what became of it."""

    source: Source
    output: Output
    took_s: float = 0.0


def run_command(options: argparse.Namespace) -> int:
    """Collect and write; raises CommandError when FILE can't be written."""
    (target,) = options.arguments
    total_s = USUAL_TOTAL_S if options.timeout is None else options.timeout
    path = _checked(target, options.force)
    tell = _quiet if options.json else _progress
    collected = collect(total_s, tell)
    manifest = write_archive(path, collected, options.force)
    if options.json:
        print(json.dumps({"file": str(path), **manifest}))
        return EXIT_OK
    failed = [one for one in manifest["pieces"] if not one["ok"]]
    print(f"{path}: {len(collected)} pieces; {MANIFEST} says why {len(failed)} could not be had")
    say_error("names and addresses of hosts are in it: look through it before you hand it on")
    return EXIT_OK


# --- collecting -----------------------------------------------------------------------------


def collect(total_s: float, tell: Callable[[Collected], None]) -> list[Collected]:
    """All sources, within `total_s` seconds; `tell` is called as soon as one is there."""
    until_s = time.monotonic() + total_s
    programs = Programs()
    try:
        first = _collect_one(programs, shared_config_source(), min(_FIRST_S, total_s))
        tell(first)
        domain, host = EngineSettings.domain_name, None
        with suppress(ValueError, KeyError, TypeError):
            shared = parse_json_without(first.output.data)
            domain = str(shared["settings"]["engine"]["domain_name"])
        with suppress(CommandError):
            host = host_settings()
        return [first, *_collect_all(programs, other_sources(host, domain), until_s, tell)]
    finally:
        programs.close()


def _collect_all(
    programs: Programs,
    wanted: Sequence[Source],
    until_s: float,
    tell: Callable[[Collected], None],
) -> list[Collected]:
    """By threads that are left alone when they do not end in time."""
    waiting: queue.SimpleQueue[Source] = queue.SimpleQueue()
    done: queue.SimpleQueue[Collected] = queue.SimpleQueue()
    for source in wanted:
        waiting.put(source)

    def work() -> None:
        with suppress(queue.Empty):
            while True:
                source = waiting.get_nowait()
                done.put(_collect_one(programs, source, until_s - time.monotonic()))

    for _ in range(_WORKERS):
        threading.Thread(target=work, name="collect", daemon=True).start()
    found: dict[Source, Collected] = {}
    with suppress(queue.Empty):
        while len(found) < len(wanted):
            one = done.get(timeout=max(0.0, until_s + 2 - time.monotonic()))
            found[one.source] = one
            tell(one)
    late = Output(why="has not ended when time was up")
    return [found.get(source, Collected(source, late)) for source in wanted]


def _collect_one(programs: Programs, source: Source, left_s: float) -> Collected:
    begun_s = time.monotonic()
    if left_s <= 0:
        return Collected(source, Output(why="time was up before its turn"))
    deadline_s = min(source.deadline_s, left_s)
    if source.command:
        output = programs.run(source.command, deadline_s, source.most_bytes)
    else:
        output = _tail(source.path, source.most_bytes)
    return Collected(source, output, time.monotonic() - begun_s)


def _tail(path: str, most_bytes: int) -> Output:
    """The end of a file, which is where the news are."""
    try:
        if not Path(path).is_file():
            return Output(why="there is no such file")
        with Path(path).open("rb") as file:
            # Files of the kernel have no size.
            file.seek(max(0, os.fstat(file.fileno()).st_size - most_bytes))
            cut = file.tell() > 0
            return Output(file.read(most_bytes), 0, cut=cut)
    except OSError as error:
        return Output(why=f"can't be read: {reason(error)}")


# --- what is told ---------------------------------------------------------------------------


def _progress(one: Collected) -> None:
    output = one.output
    end = output.why or ("cut" if output.cut else "done")
    say_error(f"{one.source.name}: {end} ({one.took_s:.1f} s)")


def _quiet(_one: Collected) -> None:
    pass


# --- the archive ----------------------------------------------------------------------------


def write_archive(path: Path, collected: Sequence[Collected], force: bool) -> dict[str, Any]:
    """Write it, readable by its owner alone; returns the manifest; raises CommandError."""
    secrets = known_secrets(_settings_in(collected))
    top = f"hosted-engine-{os.uname().nodename}-{time.strftime('%Y%m%d-%H%M%S')}"
    texts = {one.source.name: _text(one, secrets) for one in collected}
    manifest: dict[str, Any] = {
        "host": os.uname().nodename,
        "made": iso_text(time.time()),
        "pieces": [_entry(one, texts[one.source.name]) for one in collected],
    }
    manifest = data_without_secrets(manifest, secrets)
    texts[MANIFEST] = json.dumps(manifest, indent=1).encode()
    _put(path, _archive(top, texts), force)
    return manifest


def _settings_in(collected: Iterable[Collected]) -> list[object]:
    """What was collected of settings, as plain data."""
    found: list[object] = []
    for one in collected:
        with suppress(ValueError, TypeError):
            if one.source.name == SHARED_CONFIG:
                # One bad number must not hide where the secrets are.
                found.append(parse_json_without(one.output.data))
            elif one.source.name == HOST_SETTINGS:
                from world.plain_yaml import parse_yaml

                found.append(parse_yaml(one.output.data.decode("utf-8", "replace")))
    return found


def _text(one: Collected, secrets: Sequence[str]) -> bytes:
    """JSON stays JSON: where it can be read, its texts are looked at one by one."""
    text = one.output.data.decode("utf-8", "replace")
    if one.source.name.endswith(".json"):
        with suppress(ValueError, RecursionError):
            data = data_without_secrets(parse_json(text), secrets)
            return json.dumps(data, indent=1 if "\n" in text.strip() else None).encode()
    return without_secrets(text, secrets).encode()


def _entry(one: Collected, text: bytes) -> dict[str, Any]:
    output = one.output
    cut = f"only the {'end' if one.source.path else 'beginning'} of it"
    return {
        "name": one.source.name,
        "from": one.source.origin,
        "ok": not output.why and not output.cut,
        "why": output.why or (cut if output.cut else ""),
        "exit_code": output.exit_code,
        "bytes": len(text),
        "took_s": round(one.took_s, 1),
    }


def _archive(top: str, texts: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for name, text in texts.items():
            info = tarfile.TarInfo(f"{top}/{name}")
            info.size, info.mtime, info.mode = len(text), int(time.time()), 0o600
            archive.addfile(info, io.BytesIO(text))
    return target.getvalue()


def _checked(target: str, force: bool) -> Path:
    """Told before anything is collected: the archive could not be written."""
    path = Path(target)
    if not target.endswith((".tar.gz", ".tgz")):
        raise UsageError(f"{shown(target)} is refused; allowed: a file named *.tar.gz or *.tgz")
    if os.path.lexists(path) and not force:
        raise CommandError(f"{path}: is there already; give another name, or --force to replace it")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path.parent, os.W_OK | os.X_OK):
        raise CommandError(f"{path}: can't be written; give a file in a directory that is writable")
    return path


def _put(path: Path, content: bytes, force: bool) -> None:
    """All of it or nothing; a file that appeared meanwhile stays unless `force`."""
    with writing(path), written_beside(path, content, mode=0o600) as new:
        if force:
            new.replace(path)
            return
        try:
            os.link(new, path)
        except PermissionError:  # no links on this file system
            if os.path.lexists(path):
                raise
            new.replace(path)
