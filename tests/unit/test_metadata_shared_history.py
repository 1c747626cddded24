# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Earlier versions of the shared configuration: bounded, never in the way of the present one."""

from __future__ import annotations

import base64
import json
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.errors import ConfigTooLargeError
from metadata.settings.parse import ClusterSettings, cluster_settings_to_data
from metadata.shared_config import (
    COPY_SIZE,
    SharedConfig,
    StoredConfig,
    copy_offset,
    decode_area,
    decode_stored,
    encode_stored,
    history_room,
)
from metadata.shared_history import (
    MOST_BYTES,
    MOST_UNPACKED_BYTES,
    MOST_VERSIONS,
    ChangeNote,
    ConfigHistory,
    OldVersion,
    decode_history,
    encode_history,
)

DATA = cluster_settings_to_data(ClusterSettings())
NOTE = ChangeNote("root", "h1", 1_700_000_000.5, "timing.tick_s: 5.0 -> 6.0")
CONFIG = SharedConfig(9, ClusterSettings(), "<domain/>")


def noise(size: int, seed: int) -> str:
    """Text that does not get smaller."""
    words = (zlib.crc32(b"%d %d" % (seed, number)) for number in range(size // 8))
    return "".join(f"{word:08x}" for word in words)


def old(sequence: int, xml: str = "<domain/>") -> OldVersion:
    return OldVersion(sequence, DATA, xml, replace(NOTE, what=f"change {sequence}"))


def area_with(stored: StoredConfig) -> bytes:
    area = bytearray(2 * COPY_SIZE)
    data = encode_stored(stored)
    offset = copy_offset(stored.config.sequence)
    area[offset : offset + len(data)] = data
    return bytes(area)


def test_a_history_comes_back():
    history = ConfigHistory(NOTE, (old(8), OldVersion(7, {"timing": {}}, "<x/>")))
    assert decode_history(encode_history(history)) == history


def test_no_history_is_an_empty_one():
    assert decode_history("") == ConfigHistory()
    assert decode_history(encode_history(ConfigHistory())) == ConfigHistory()


def test_the_oldest_versions_go_first():
    versions = tuple(old(number) for number in range(40, 0, -1))
    kept = decode_history(encode_history(ConfigHistory(NOTE, versions))).versions
    assert kept == versions[: MOST_VERSIONS - 1]


def test_large_versions_are_bounded_in_bytes():
    versions = tuple(old(number, noise(60_000, number)) for number in range(19, 0, -1))
    text = encode_history(ConfigHistory(NOTE, versions))
    assert len(text) <= MOST_BYTES
    kept = decode_history(text)
    assert kept.note == NOTE
    assert 2 <= len(kept.versions) < 19
    assert kept.versions == versions[: len(kept.versions)]


def test_a_history_that_finds_no_room_is_given_up_and_the_configuration_is_not():
    bare = StoredConfig(CONFIG, DATA)
    xml = noise(COPY_SIZE, 1)[: history_room(bare) - 500]
    stored = StoredConfig(replace(CONFIG, domain_xml=xml), DATA)
    text = encode_history(ConfigHistory(NOTE, (old(8),)), history_room(stored))
    assert decode_history(text) == ConfigHistory(NOTE)
    assert encode_history(ConfigHistory(NOTE, (old(8),)), 20) == ""
    assert decode_area(area_with(replace(stored, history=text))) == stored.config


def test_the_room_is_the_room():
    stored = StoredConfig(CONFIG, DATA)
    room = history_room(stored)
    assert len(encode_stored(replace(stored, history="x" * room))) == COPY_SIZE
    with pytest.raises(ConfigTooLargeError):
        encode_stored(replace(stored, history="x" * (room + 1)))


def test_what_is_stored_comes_back_with_keys_that_were_left_out():
    stored = StoredConfig(CONFIG, {"timing": {"tick_s": 5}}, encode_history(ConfigHistory(NOTE)))
    assert decode_stored(area_with(stored)) == stored
    assert decode_area(area_with(stored)) == CONFIG


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("no base64!", "can't be unpacked"),
        (base64.b64encode(b"no zlib").decode(), "can't be unpacked"),
        (base64.b64encode(zlib.compress(b"no JSON")).decode(), "can't be unpacked"),
        (base64.b64encode(zlib.compress(b"[" * 100_000)).decode(), "can't be unpacked"),
        (base64.b64encode(zlib.compress(b"5")).decode(), "no list of versions"),
        (encode_history(ConfigHistory(NOTE, (old(8),)))[:-40], "can't be unpacked"),
    ],
)
def test_a_damaged_history_is_told_and_harms_nothing(text, named):
    assert named in decode_history(text).damage
    assert decode_area(area_with(StoredConfig(CONFIG, DATA, text))) == CONFIG


@pytest.mark.parametrize("history", [5, None, [[[]]], {"a": 1}])
def test_a_history_that_is_no_text_harms_nothing(history):
    stored = StoredConfig(CONFIG, DATA, history)
    found = decode_stored(area_with(stored))
    assert isinstance(found, StoredConfig)
    assert (found.config, found.history) == (CONFIG, "")


@pytest.mark.parametrize("piece", [b"[],", b"{},", b'"",', b"0,", b'{"a":[]},'])
def test_a_small_text_does_not_become_large_data(piece):
    inside = piece * (32 * 1024 * 1024 // len(piece))
    bomb = packed(b'{"versions": [' + inside + b"0]}")
    assert len(bomb) <= MOST_BYTES
    tracemalloc.start()
    try:
        found = decode_history(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "too large" in found.damage
    assert peak < 4 * MOST_UNPACKED_BYTES


def test_what_is_written_is_not_too_large_to_be_read():
    versions = tuple(old(number, "<a/>" * 100_000) for number in range(19, 0, -1))
    kept = decode_history(encode_history(ConfigHistory(NOTE, versions)))
    assert (kept.note, kept.damage) == (NOTE, "")
    assert kept.versions == versions[: len(kept.versions)]
    assert len(kept.versions) == 5


def test_a_text_that_is_longer_than_any_is_not_unpacked():
    text = packed(noise(200_000, 3).encode())
    assert len(text) > MOST_BYTES
    assert f"more than {MOST_BYTES}" in decode_history(text).damage


def test_a_bomb_is_not_unpacked():
    bomb = base64.b64encode(zlib.compress(bytes(64 * 1024 * 1024))).decode()
    assert "too large" in decode_history(bomb).damage


def test_damaged_versions_are_left_out_and_counted():
    whole = json.loads(
        zlib.decompress(base64.b64decode(encode_history(ConfigHistory(NOTE, (old(8),)))))
    )
    whole["versions"] += [5, {"sequence": "7"}, {"sequence": 6, "settings": {}, "domain_xml": ""}]
    whole["note"]["at_wall_s"] = "yesterday"
    text = base64.b64encode(zlib.compress(json.dumps(whole).encode())).decode()
    found = decode_history(text)
    assert [version.sequence for version in found.versions] == [8, 6]
    assert found.note is None
    assert found.damage == "2 of its 4 versions can't be read"


@pytest.mark.parametrize("number", ["9" * 400, "-1e999", "NaN", "1e300"])
@pytest.mark.parametrize("key", ["at_wall_s", "tick_s", "sequence"])
def test_a_number_out_of_bounds_costs_what_it_stands_in(key, number):
    whole = json.loads(unpacked(encode_history(ConfigHistory(NOTE, (old(8), old(7))))))
    holder = {"sequence": whole["versions"][0], "at_wall_s": whole["note"]}
    holder.get(key, whole["versions"][0]["settings"])[key] = "HERE"
    found = decode_history(packed(json.dumps(whole).replace('"HERE"', number).encode()))
    assert [version.sequence for version in found.versions][-1] == 7
    assert len(found.versions) == (1 if key == "sequence" else 2)
    assert (found.note is None) == (key == "at_wall_s")
    again = encode_history(found)  # what is left can be written, as the next change does
    assert decode_history(again).versions == found.versions


def packed(data):
    return base64.b64encode(zlib.compress(data)).decode()


def unpacked(text):
    return zlib.decompress(base64.b64decode(text))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_whatever_the_text_nothing_is_raised(text):
    assert isinstance(decode_history(text), ConfigHistory)
