# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--edit-vm-conf``: the engine's domain XML in an editor, and a new version of it; with
``--from-ovf`` what was changed in oVirt's portal instead.

Nothing is locked while people edit: a version that somebody else wrote meanwhile refuses this
one. A text that was refused, for whatever reason, stays in its file.
"""

from __future__ import annotations

import argparse
import difflib
import os
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from hosted_engine.cli.terminal import print_raw
from hosted_engine.cli.wait import wait_s
from hosted_engine.config.apply import (
    WAIT_S,
    ChangeContext,
    Telling,
    carry_out,
    change_context,
    examine,
)
from hosted_engine.config.get_set import read_xml_file
from hosted_engine.config.keys import with_value
from hosted_engine.config.store import changed, describe_change, read
from hosted_engine.errors import EXIT_OK, NOTHING_WRITTEN, CommandError, NotReachedError
from hosted_engine.from_ovirt.ovf import MOST_BYTES, read_ovf
from hosted_engine.from_ovirt.portal_changes import identity, with_portal
from hosted_engine.host.environment import deployed_host
from hosted_engine.host.given_file import read_given
from hosted_engine.host.local_host import host_settings
from metadata.domain_xml import domain_name
from metadata.error_words import reason, reason_with_file, shown
from metadata.errors import DomainXmlError
from metadata.shared_config import StoredConfig

USUAL_EDITOR = "vi"

Agrees = Callable[[str], bool]
"""Asked a question, returns the answer."""


@dataclass(frozen=True)
class Editing:
    """Who edits: `edit` changes the file of that path, `agrees` answers a question."""

    edit: Callable[[str], None]
    agrees: Agrees


def run_command(options: argparse.Namespace) -> int:
    """``--edit-vm-conf``."""
    telling = Telling(wait_s=wait_s(options, WAIT_S))
    agrees: Agrees = (lambda _question: True) if options.yes else ask
    edit = None if options.from_ovf is not None else edit_with(editor())
    settings = host_settings()
    context = change_context(deployed_host(settings), settings)
    try:
        if edit is None:
            return take_ovf(context, agrees, telling, options.from_ovf)
        return edit_vm_conf(context, Editing(edit, agrees), telling)
    finally:
        context.client.close()


def edit_vm_conf(context: ChangeContext, editing: Editing, telling: Telling) -> int:
    """Raises CommandError, which names the file with the edited text if there is any."""
    before = read(context.world)
    path = _write_down(before.config.domain_xml)
    try:
        editing.edit(path)
        _propose(context, editing.agrees, telling, before, read_xml_file(path))
    except NotReachedError:  # it is written
        Path(path).unlink()
        raise
    except BaseException as error:
        if _has(path, before.config.domain_xml):
            Path(path).unlink()
            raise
        why = f"interrupted; {NOTHING_WRITTEN}"
        if not isinstance(error, KeyboardInterrupt):
            why = reason_with_file(error)
        raise CommandError(
            f"{why}; what you edited is kept in {path} (once it is right: hosted-engine "
            f"--set-shared-config vm_conf @{path})"
        ) from error
    Path(path).unlink()
    return EXIT_OK


def take_ovf(context: ChangeContext, agrees: Agrees, telling: Telling, path: str) -> int:
    """Bring the OVF in file `path` into the domain XML; raises CommandError."""
    before = read(context.world)
    uuid, name = identity(before.config.domain_xml)
    data = read_given(path, MOST_BYTES, devices=True)
    try:
        found = with_portal(before.config.domain_xml, read_ovf(data, uuid, name))
    except CommandError as error:
        raise CommandError(f"{path}: {error.message}; {NOTHING_WRITTEN}") from error
    for line in found.changes:
        print(f"[changed] {line}")
    for line in found.left:
        print(f"[not taken] {line}")
    _propose(context, agrees, telling, before, found.xml)
    return EXIT_OK


def _propose(
    context: ChangeContext, agrees: Agrees, telling: Telling, before: StoredConfig, xml: str
) -> None:
    """Checks, the difference, the question, the write."""
    if xml.splitlines() == before.config.domain_xml.splitlines():
        print(f"The domain XML is unchanged; {NOTHING_WRITTEN}.")
        return
    after = _with_xml(before, xml)
    what = describe_change(before.config, after.config)
    examine(context, before, after)
    print_raw("\n".join(difference(before, after)))
    if not agrees(f"Write this as version {after.config.sequence}? [y/N] "):
        raise CommandError(f"not written, as you wish; {NOTHING_WRITTEN}")
    carry_out(context, before, after, what, telling)


def _with_xml(before: StoredConfig, xml: str) -> StoredConfig:
    """A new name in the XML is the engine's new name in the settings, too."""
    try:
        name = domain_name(xml)
    except DomainXmlError as error:
        raise CommandError(f"{error.why}; {NOTHING_WRITTEN}") from error
    if name == before.config.settings.engine.domain_name:
        return changed(before, domain_xml=xml)
    settings = with_value(before.settings, ("engine", "domain_name"), name)
    return changed(before, settings=settings, domain_xml=xml)


def difference(before: StoredConfig, after: StoredConfig) -> list[str]:
    """The changed lines, with what stands around them."""
    sequence = before.config.sequence
    return list(
        difflib.unified_diff(
            before.config.domain_xml.splitlines(),
            after.config.domain_xml.splitlines(),
            f"vm_conf, version {sequence}",
            f"vm_conf, version {sequence + 1}",
            lineterm="",
        )
    )


# --- the file -------------------------------------------------------------------------------


def _write_down(xml: str) -> str:
    """A file for root's eyes only: the XML may have passwords in it."""
    descriptor, path = tempfile.mkstemp(prefix="vm_conf-", suffix=".xml")
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(xml)
    return path


def _has(path: str, xml: str) -> bool:
    try:
        return Path(path).read_bytes() == xml.encode("utf-8", "surrogatepass")
    except OSError:
        return False


# --- people ---------------------------------------------------------------------------------


def editor() -> list[str]:
    """$VISUAL, else $EDITOR, else vi, with its words; raises CommandError."""
    line = os.environ.get("VISUAL") or os.environ.get("EDITOR") or USUAL_EDITOR
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise CommandError(f"$VISUAL or $EDITOR can't be used: {shown(line)}: {error}") from error
    if not words:
        raise CommandError("$VISUAL or $EDITOR holds nothing but blanks")
    return words


def edit_with(words: list[str]) -> Callable[[str], None]:
    """Calls that editor; it may take as long as people do."""

    def edit(path: str) -> None:
        try:
            done = subprocess.run([*words, path], check=False)
        except OSError as error:
            raise CommandError(
                f"the editor {words[0]} can't be started: {reason(error)}; set VISUAL or EDITOR"
            ) from error
        if done.returncode != 0:
            raise CommandError(
                f"the editor {words[0]} ended with {done.returncode}; {NOTHING_WRITTEN}"
            )

    return edit


def ask(question: str) -> bool:
    """Anything but a yes is a no, and so is the end of the input."""
    print(question, end="", flush=True)
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        print()
    return answer.strip().lower() in ("y", "yes")
