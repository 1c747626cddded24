# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The commands that the pages name, and who runs each: a test, or nobody.

Each page says at its end, or where it fits, which of its commands no test runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

from tests.unit.doc_pages import DOCS, ROOT, pages, prose

NOT_RUN = ""
# Runs the lines of docs/install.md on a fresh host.
FRESH_HOST = "../packaging/product_packages/fresh_host.py"
PLUGINS = "integration/test_world_plugins.py"


class Rule(NamedTuple):
    """A command that begins with `start`, of `page` or of all, is run by a file below tests/."""

    start: str
    by: str
    page: str = ""


class Typed(NamedTuple):
    """A command of a page; `block`: it stands in a fenced block."""

    page: Path
    command: str
    block: bool


# Of ours, each by its own option; the words of the pages are parsed as the command parses them.
OURS = {
    "--vm-status": "integration/test_command_status.py",
    "--explain": "lab/test_renaming.py",
    "--upgrade-check": "lab_long/test_rolling_upgrade.py",
    "--set-maintenance": "lab/test_moves.py",
    "--vm-start": "lab/test_engine_commands.py",
    "--vm-shutdown": "lab/test_engine_commands.py",
    "--vm-poweroff": "lab/test_engine_commands.py",
    "--vm-migrate": "lab/test_moves.py",
    "--console": "lab/test_engine_commands.py",
    "--add-console-password": "lab/test_engine_commands.py",
    "--check-liveliness": "integration/test_command_status.py",
    "--get-shared-config": "integration/test_shared_config.py",
    "--set-shared-config": "integration/test_shared_config.py",
    "--edit-vm-conf": "lab/test_shared_config.py",
    "--shared-config-history": "integration/test_shared_config.py",
    "--shared-config-rollback": "lab/test_shared_config.py",
    "--restore-shared-config": "unit/test_config_restore.py",
    "--clean-metadata": "integration/test_storage_commands.py",
    "--reinitialize-lockspace": "integration/test_storage_commands.py",
    "--connect-storage": "unit/test_command_storage_connect.py",
    "--deploy": "integration/test_command_deploy.py",
    "--import-ovirt": "integration/test_from_ovirt.py",
    "--history": "unit/test_command_history.py",
    "--export-status": "integration/test_export_status.py",
    "--test-notification": "integration/test_notifications.py",
    "--simulate": "unit/test_command_simulate.py",
}
# How a test speaks of a command that it does not spell.
SPELLED = {
    "--restore-shared-config": "restore(",
    "--connect-storage": "connect(",
}
CLEANUP = "unit/test_command_cleanup.py"

RULES = (
    # This checkout's own.
    Rule("./lab/demo", NOT_RUN),
    Rule("./lab/lab up", "lab/conftest.py"),
    Rule("./lab/lab down", "lab/conftest.py"),
    Rule("./lab/lab install", "lab/test_package.py"),
    Rule("./lab/lab takeover", "lab/test_engine_survives.py"),
    Rule("./lab/lab maintenance-rounds", "lab_long/test_maintenance_rounds.py"),
    Rule("./lab/lab picture", "lab_long/test_maintenance_rounds.py"),
    Rule("./tests/run-elsewhere", NOT_RUN),
    Rule("./tests/run", "../.ci/run"),
    Rule("./packaging/build deb", "integration/test_packages.py"),
    Rule("./packaging/build rpm", "integration/test_packages.py"),
    Rule("./packaging/build sbom", "unit/test_supply_chain.py"),
    Rule("python -m tests.lock", NOT_RUN),
    Rule("python -m tests.sim", "sim/test_sim.py"),
    Rule("python -m tests.fsm.model", "fsm/test_model.py"),
    Rule("python -m tests.bench.bounds", NOT_RUN),
    Rule("python -m tests.bench.scale", "unit/test_bench.py"),
    Rule("python -m tests.fsm.mutants", "fsm/test_mutants.py"),
    Rule("python -m tests.unit.mutants", "integration/test_mutants.py"),
    Rule("python -m pytest tests/scenarios", "scenarios/test_scenarios.py"),
    Rule("python -m hosted_engine.cli.generated docs", "unit/test_command_catalogue.py"),
    Rule("python -m fsm.diagram", "fsm/test_table.py"),
    Rule("hosted-engine-fsm", "fsm/test_table.py"),
    Rule("docs/examples/libvirt-tls/make-certificates", "unit/test_migration_page.py"),
    Rule("hosted-engine COMMAND --help", "unit/test_command_main.py"),
    # What is run in another place, or by the same words elsewhere.
    Rule("apt install ./dist/hosted-engine-ha_*.deb", FRESH_HOST),
    Rule("systemctl mask sleep.target", FRESH_HOST),
    Rule("pip install hosted-engine-ha hosted-engine-ha-compat", "integration/test_compat.py"),
    Rule(
        "pip install --target=/usr/local/lib/hosted-engine-ha", "integration/test_world_plugins.py"
    ),
    Rule("/usr/lib/hosted-engine-ha/bin/pip install", NOT_RUN),
    Rule("install", "unit/test_doc_commands.py"),
    Rule("curl --unix-socket", "lab/test_shared_config.py"),
    Rule("promtool test rules", "integration/test_monitoring.py"),
    Rule("man hosted-engine", "integration/test_manual.py"),
    Rule("systemd-analyze security", "unit/test_unit_files.py"),
    # A page, or its steps, as a whole.
    Rule("systemctl", "lab/test_renaming.py", "docs/renaming.md"),
    Rule("sed", "lab/test_renaming.py", "docs/renaming.md"),
    Rule("sanlock", "lab/test_renaming.py", "docs/renaming.md"),
    Rule("sanlock client", "integration/test_from_ovirt.py", "docs/from-ovirt.md"),
    Rule("systemctl", "unit/test_simulation_script.py", "docs/simulate.md"),
    Rule("virsh", "unit/test_simulation_script.py", "docs/simulate.md"),
    Rule("sanlock", "unit/test_simulation_script.py", "docs/simulate.md"),
    Rule("systemctl restart ha-broker", "lab/test_deploy.py", "docs/settings.md"),
    Rule("mount", "unit/test_storage_connection_plan.py", "docs/settings.md"),
    Rule("mount", "unit/test_storage_connection_plan.py", "docs/storage.md"),
    Rule("udevadm settle", "unit/test_storage_connection_plan.py", "docs/storage.md"),
    Rule("multipath -v1", "unit/test_storage_connection_plan.py", "docs/storage.md"),
    Rule("apt-get install ./hosted-engine-ha_*.deb", "lab/test_package.py"),
    Rule("journalctl", "lab/test_log.py", "docs/log.md"),
    Rule("systemctl", "lab/test_log.py", "docs/log.md"),
    Rule("systemctl reboot", "lab_long/test_reboots.py", "lab/README.md"),
    Rule("virsh migrate", "lab/test_engine_survives.py", "lab/README.md"),
)

# The system's programs. No test runs what pages say of them, but for the rules below.
FOREIGN = (
    *("apt", "apt-get", "cat", "chgrp", "chmod", "chown", "curl", "dmesg", "dmidecode", "dnf"),
    *("echo", "engine-backup", "findmnt", "firewall-cmd", "getent", "getfacl", "hostname"),
    *("hostnamectl",),
    *("install", "ip", "iscsiadm", "journalctl", "man", "mkdir", "mount", "multipath", "openssl"),
    *("ping", "pip", "promtool", "qemu-system-x86_64", "reboot", "sanlock", "sed", "ssh"),
    *("systemctl", "systemd-analyze", "systemd-inhibit", "tar", "top", "truncate", "udevadm"),
    *("umount", "unshare", "virsh", "virt-install"),
)

_FENCE = re.compile(r"^[ ]*```(\w*)\n(.*?)^[ ]*```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_REMARK = re.compile(r"(?:^|\s+)# .*")
_TOLD = re.compile(r"[Nn]ot run by a test[^:.]*:\**\s+((?:`[^`]+`(?:,\s+|\s+and\s+)?)+)")
# What a fenced block may be. Only those of the first two are to be typed.
COMMAND_BLOCKS = ("", "sh")
OTHER_BLOCKS = ("text", "yaml", "json", "python", "ini", "mermaid")
# These say at each block or line who runs it, and have tests of their own.
MARKED_BLOCKS = ("docs/install.md", "docs/migration.md")


def all_pages() -> list[Path]:
    """With the results and decisions, of which the blocks alone are looked at."""
    more = [ROOT / "lab/README.md", ROOT / "compat/README.md"]
    return sorted({*pages(), *more, *DOCS.rglob("*.md")})


def name_of(page: Path) -> str:
    """As rules name it."""
    return str(page.relative_to(ROOT))


def block_kinds(text: str) -> set[str]:
    """The languages of the fenced blocks; empty for one without."""
    return {kind for kind, _ in _FENCE.findall(text)}


def typed(page: Path) -> list[Typed]:
    """What a page has people type, without remarks and without `sudo`."""
    text = page.read_text(encoding="utf-8")
    found = [
        Typed(page, command, True)
        for kind, block in _FENCE.findall(text)
        if kind in COMMAND_BLOCKS
        for command in _lines(block)
    ]
    if page.parent.name not in ("adr", "results"):
        found += [Typed(page, code, False) for code in inline(page) if _is_command(code)]
    return found


def inline(page: Path) -> list[str]:
    """What stands between backticks, but for what the page says of its commands."""
    text = _TOLD.sub("", prose(page.read_text(encoding="utf-8")))
    return [_plain(code) for code in _CODE.findall(text)]


def runner(one: Typed) -> Optional[str]:
    """Which file runs it, NOT_RUN where none does; None: nobody has said."""
    name = name_of(one.page)
    fitting = [
        rule for rule in RULES if starts(one.command, rule.start) and rule.page in ("", name)
    ]
    if fitting:
        return max(fitting, key=lambda rule: (rule.page, len(rule.start))).by
    words = one.command.split()
    if words[0] == "hosted-engine":
        named = [by for option, by in OURS.items() if option in words]
        return named[0] if named else None
    if words[0] == "hosted-engine-cleanup":
        return CLEANUP
    return NOT_RUN if words[0] in FOREIGN else None


def told_as_not_run(page: Path) -> list[str]:
    """The beginnings of commands that a page says no test runs."""
    text = prose(page.read_text(encoding="utf-8"))
    return [code for found in _TOLD.findall(text) for code in _CODE.findall(found)]


def starts(command: str, start: str) -> bool:
    """By whole words."""
    return f"{command} ".startswith(f"{start} ")


def _lines(block: str) -> Iterator[str]:
    """Commands: a text that one reads from the lines behind it belongs to it."""
    end = None
    for line in block.splitlines():
        if end is not None:
            end = None if line.strip() == end else end
            continue
        opened = re.search(r"<<(\w+)$", line)
        end = opened.group(1) if opened else None
        if plain := _plain(line):
            yield plain


def _plain(code: str) -> str:
    return _REMARK.sub("", code).strip().removeprefix("sudo ")


def _is_command(code: str) -> bool:
    """A program alone is only named."""
    words = code.split()
    first = {rule.start.split()[0] for rule in RULES} | {*FOREIGN, "hosted-engine"}
    return len(words) > 1 and words[1] != "=" and words[0] in {*first, "hosted-engine-cleanup"}
