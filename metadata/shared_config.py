# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared configuration: cluster settings and the engine's domain XML, in two copies.

One area of 1 MiB holds two copies, at 0 and at 512 KiB. A configuration with an even
sequence number is written to the first, with an odd one to the second, so a torn write
leaves the copy before it whole. The highest sequence among the whole copies counts.

A copy, integers big-endian, the header the same in all format versions::

    0   8 bytes  magic "HEHACONF"
    8   uint32   format version (1)
    12  uint32   CRC32 of header and payload, this field taken as 0
    16  uint64   sequence number
    24  uint64   length of the payload in bytes
    32           payload: ASCII JSON {"domain_xml": "...", "settings": {...}, "history": "..."}
         then NUL up to a multiple of 4096

`history` (`metadata.shared_history`) may be missing, and only who asks for it looks into it.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, Optional, Union

from metadata.error_words import shown
from metadata.errors import ConfigTooLargeError, SettingsError
from metadata.layout import CONFIG_SIZE
from metadata.plain_json import PlainJsonError, parse_json
from metadata.settings.parse import (
    ClusterSettings,
    cluster_settings_to_data,
    parse_cluster_settings,
)
from metadata.value_class import value_class

FORMAT_VERSION = 1
COPY_SIZE = CONFIG_SIZE // 2
BLOCK_SIZE = 4096

_MAGIC = b"HEHACONF"
_HEADER = struct.Struct(">8sIIQQ")
_MAX_SEQUENCE = 2**64 - 1
_ROOM = COPY_SIZE - _HEADER.size


@value_class(frozen=True)
class SharedConfig:
    """What all hosts run with. `sequence` rises by one with each change."""

    sequence: int
    settings: ClusterSettings
    domain_xml: str


@value_class(frozen=True)
class StoredConfig:
    """A configuration as it stands on the storage, for whoever changes it.

    `settings` are the plain data that `config.settings` was read from: keys that were left out
    are not in it, and a change leaves them out again, so that hosts with an older program are
    not given keys that they do not know. `history` is for `metadata.shared_history`.
    """

    config: SharedConfig
    settings: Mapping[str, Any]
    history: str = ""


@value_class(frozen=True)
class ConfigAbsent:
    """No configuration was ever written here."""


@value_class(frozen=True)
class ConfigDamaged:
    """Something is there that can't be used; `reason` names it."""

    reason: str


@value_class(frozen=True)
class ConfigTooNew:
    """The current configuration was written by a newer program."""

    format_version: int
    sequence: int


ConfigError = Union[ConfigAbsent, ConfigDamaged, ConfigTooNew]


def describe_config_error(error: ConfigError) -> str:
    """One sentence for people about a configuration that can't be used."""
    if isinstance(error, ConfigAbsent):
        return "there is no shared configuration yet"
    if isinstance(error, ConfigTooNew):
        return (
            f"the shared configuration was written by a newer version "
            f"(format {error.format_version}); update this host"
        )
    return f"the shared configuration is damaged: {error.reason}"


def copy_offset(sequence: int) -> int:
    """Offset in the area, in bytes, of the copy that holds the given sequence."""
    return (sequence % 2) * COPY_SIZE


def encode_copy(config: SharedConfig) -> bytes:
    """One copy, a multiple of 4096 bytes, to be written at `copy_offset(config.sequence)`.

    Raises ConfigTooLargeError, or ValueError for a sequence that is no unsigned 64-bit number.
    """
    return encode_stored(StoredConfig(config, cluster_settings_to_data(config.settings)))


def encode_stored(stored: StoredConfig) -> bytes:
    """As `encode_copy`, with the given plain data and history; raises the same."""
    sequence = stored.config.sequence
    if not 0 <= sequence <= _MAX_SEQUENCE:
        raise ValueError(f"sequence: {sequence} is refused; allowed: 0 to {_MAX_SEQUENCE}")
    payload = _payload(stored)
    if len(payload) > _ROOM:
        xml_size = len(json.dumps(stored.config.domain_xml)) - 2
        raise ConfigTooLargeError(len(payload), _ROOM, xml_size)
    checksum = _checksum(FORMAT_VERSION, sequence, payload)
    data = _header(FORMAT_VERSION, checksum, sequence, len(payload)) + payload
    return data + bytes(-len(data) % BLOCK_SIZE)


def history_room(stored: StoredConfig) -> int:
    """Bytes that a history beside this configuration may have; 0 or less: none."""
    bare = StoredConfig(stored.config, stored.settings, "-")
    return _ROOM - len(_payload(bare)) + 1


def decode_area(data: bytes) -> Union[SharedConfig, ConfigError]:
    """The current configuration of a whole area (1 MiB), or what is wrong with it.

    Never raises, whatever the bytes.
    """
    stored = decode_stored(data)
    return stored.config if isinstance(stored, StoredConfig) else stored


def decode_stored(data: bytes) -> Union[StoredConfig, ConfigError]:
    """As `decode_area`, with what a change needs."""
    if len(data) < CONFIG_SIZE:
        return ConfigDamaged(f"the area has {len(data)} bytes, {CONFIG_SIZE} are needed")
    copies = [_open_copy(data[:COPY_SIZE]), _open_copy(data[COPY_SIZE:CONFIG_SIZE])]
    whole = [copy for copy in copies if isinstance(copy, _Copy)]
    if whole:
        return _read_copy(max(whole, key=lambda copy: copy.sequence))
    damaged = [
        f"{place} copy: {copy.reason}"
        for place, copy in zip(("first", "second"), copies)
        if isinstance(copy, ConfigDamaged)
    ]
    return ConfigDamaged("; ".join(damaged)) if damaged else ConfigAbsent()


def decode_copy(data: bytes) -> Union[StoredConfig, ConfigError]:
    """What `encode_stored` made; never raises."""
    return decode_stored(data.ljust(COPY_SIZE, b"\0")[:COPY_SIZE] + bytes(COPY_SIZE))


def header_sequence(block: bytes) -> Optional[int]:
    """The sequence number in a copy's first 32 bytes (or more), None without our magic.

    It is not under a check until the whole copy is read: good enough to see that the
    configuration may have changed without reading 1 MiB.
    """
    if len(block) < _HEADER.size or not block.startswith(_MAGIC):
        return None
    return int(_HEADER.unpack_from(block)[3])


@value_class(frozen=True)
class _Copy:
    """A copy whose checksum is right."""

    format_version: int
    sequence: int
    payload: bytes


def _payload(stored: StoredConfig) -> bytes:
    document = {"settings": stored.settings, "domain_xml": stored.config.domain_xml}
    if stored.history:
        document["history"] = stored.history
    return json.dumps(document, sort_keys=True).encode("ascii")


def _header(version: int, checksum: int, sequence: int, length: int) -> bytes:
    return _HEADER.pack(_MAGIC, version, checksum, sequence, length)


def _checksum(version: int, sequence: int, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(_header(version, 0, sequence, len(payload))))


def _open_copy(data: bytes) -> Union[_Copy, ConfigAbsent, ConfigDamaged]:
    """Check a copy's magic, length and checksum, which are the same in all versions."""
    if not any(data[: _HEADER.size]):
        return ConfigAbsent()
    magic, version, checksum, sequence, length = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        return ConfigDamaged(f"magic: {shown(magic)} is refused; allowed: {shown(_MAGIC)}")
    room = len(data) - _HEADER.size
    if length > room:
        return ConfigDamaged(f"length: {length} is refused; allowed: at most {room}")
    payload = data[_HEADER.size : _HEADER.size + length]
    computed = _checksum(version, sequence, payload)
    if computed != checksum:
        return ConfigDamaged(f"CRC32: {checksum:08x} is written, {computed:08x} computed")
    return _Copy(version, sequence, payload)


def _read_copy(copy: _Copy) -> Union[StoredConfig, ConfigError]:
    if copy.format_version > FORMAT_VERSION:
        return ConfigTooNew(copy.format_version, copy.sequence)
    if copy.format_version != FORMAT_VERSION:
        return ConfigDamaged(f"format version: {copy.format_version} is refused; allowed: 1")
    try:
        document = parse_json(copy.payload)
    except PlainJsonError as error:
        return ConfigDamaged(f"payload: no JSON ({error})")
    return _read_document(document, copy.sequence)


def _read_document(document: Any, sequence: int) -> Union[StoredConfig, ConfigError]:
    if not isinstance(document, dict) or not isinstance(document.get("domain_xml"), str):
        return ConfigDamaged("domain_xml: is missing or no text")
    try:
        settings = parse_cluster_settings(document.get("settings"), "settings")
    except SettingsError as error:
        return ConfigDamaged("; ".join(error.problems))
    config = SharedConfig(sequence, settings, document["domain_xml"])
    history = document.get("history")
    return StoredConfig(config, document["settings"], history if isinstance(history, str) else "")
