# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--type``: which keys belong to each type, by their own names and by the older tool's. Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import Optional

from hosted_engine.config.keys import VM_CONF, Path, all_leaves, check_key, leaves
from hosted_engine.config.older_keys import OLDER_KEYS, OlderKey
from hosted_engine.errors import UsageError
from metadata.error_words import shown
from metadata.layout import storage_parts
from metadata.settings.parse import HostSettings, host_settings_to_data

HE_SHARED, HE_LOCAL, HA, BROKER = "he_shared", "he_local", "ha", "broker"
TYPES = (HE_SHARED, HE_LOCAL, HA, BROKER, VM_CONF)
SECTIONS: dict[str, tuple[str, ...]] = {
    HE_SHARED: (),
    HA: ("timing", "score", "network", "monitors", "migration"),
    BROKER: ("notifications",),
}
"""What a type of the tool that people know stands for here."""


def is_vm_conf(key: str, kind: str) -> bool:
    """Is it the domain XML? Raises UsageError for another key of that type."""
    if kind == VM_CONF and key != VM_CONF:
        raise UsageError(f"{shown(key)} is no key of --type={VM_CONF}; allowed: {VM_CONF}")
    return key == VM_CONF and kind in (VM_CONF, HE_SHARED)


def older_key(key: str, kind: str) -> Optional[OlderKey]:
    """The setting that the older tool calls so; None: that is no name of its."""
    found = OLDER_KEYS.get(key)
    return found if found is not None and kind in (HE_SHARED, found.kind) else None


def shared_path(key: str, kind: str) -> Path:
    """Where a key of the shared settings leads; raises UsageError.

    With one section only, its name may be left out.
    """
    sections = SECTIONS[kind]
    if len(sections) == 1 and key.partition(".")[0] != sections[0]:
        key = f"{sections[0]}.{key}"
    return check_key(key, sections)


def check_name(key: str, kind: str) -> None:
    """Raise UsageError for a key that can't be set in this type."""
    if kind == HE_LOCAL:
        allowed = _local_keys()
        if key.partition(".")[0] not in {one.partition(".")[0] for one in allowed}:
            raise UsageError(unknown_local_text(key, allowed))
    elif not is_vm_conf(key, kind) and older_key(key, kind) is None:
        shared_path(key, kind)


def unknown_local_text(key: str, allowed: list[str]) -> str:
    """What is wrong with a key that host.yaml does not have."""
    names = ", ".join(allowed)
    hint = ""
    if key in OLDER_KEYS:
        hint = f"all hosts have the same {key} here, with --type={HE_SHARED}; "
    return (
        f"{shown(key)} is no key of this host's own settings; {hint}allowed: {names}, or a section"
    )


def all_keys(kind: str) -> list[str]:
    """Every key of a type, sorted, the older tool's names among them."""
    if kind == HE_LOCAL:
        return sorted(_local_keys())
    if kind == VM_CONF:
        return [VM_CONF]
    sections = SECTIONS[kind]
    own = [leaf for leaf in all_leaves() if not sections or leaf.partition(".")[0] in sections]
    older = [name for name in OLDER_KEYS if older_key(name, kind) is not None]
    return sorted([*own, *older, *([] if sections else [VM_CONF])])


@lru_cache(maxsize=1)
def _local_keys() -> list[str]:
    return leaves(host_settings_to_data(HostSettings(1, "h1", storage_parts("/path"))))
