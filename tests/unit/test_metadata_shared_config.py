# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The shared configuration: two copies, of which one is always whole."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metadata.errors import ConfigTooLargeError
from metadata.settings.parse import ClusterSettings, EngineSettings, cluster_settings_to_data
from metadata.shared_config import (
    ConfigAbsent,
    ConfigDamaged,
    ConfigTooNew,
    SharedConfig,
    copy_offset,
    decode_area,
    describe_config_error,
    encode_copy,
    header_sequence,
)

KIB = 1024
AREA = 1024 * KIB
SETTINGS = ClusterSettings(engine=EngineSettings(domain_name="Engine"))
OLD = SharedConfig(6, ClusterSettings(), "<domain>old</domain>")
NEW = SharedConfig(7, SETTINGS, "<domain>" + "n" * 40_000 + "</domain>")


def written(area: bytes, config: SharedConfig, size: int = AREA) -> bytes:
    """`area` after the first `size` bytes of `config`'s copy were written."""
    changed = bytearray(area)
    data = encode_copy(config)[:size]
    offset = copy_offset(config.sequence)
    changed[offset : offset + len(data)] = data
    return bytes(changed)


def raw_copy(payload: bytes, sequence: int = 0, version: int = 1) -> bytes:
    """A copy put together without the code under test."""
    head = struct.pack(">8sIIQQ", b"HEHACONF", version, 0, sequence, len(payload))
    crc = zlib.crc32(head + payload)
    return head[:12] + struct.pack(">I", crc) + head[16:] + payload


def area_of(first: bytes = b"", second: bytes = b"") -> bytes:
    return first.ljust(AREA // 2, b"\0") + second.ljust(AREA // 2, b"\0")


def test_nothing_written_is_absent():
    assert decode_area(bytes(AREA)) == ConfigAbsent()


@pytest.mark.parametrize("sequence", [0, 1, 2, 2**64 - 1])
def test_round_trip_alone(sequence):
    config = SharedConfig(sequence, SETTINGS, "<domain>é\udc80</domain>")
    assert decode_area(written(bytes(AREA), config)) == config


def test_the_copies_take_turns():
    assert [copy_offset(sequence) for sequence in (0, 1, 2, 3)] == [0, 512 * KIB, 0, 512 * KIB]


def test_the_exact_bytes():
    document = {"domain_xml": "<domain/>", "settings": cluster_settings_to_data(SETTINGS)}
    payload = json.dumps(document, sort_keys=True).encode()
    data = encode_copy(SharedConfig(8, SETTINGS, "<domain/>"))
    assert data == raw_copy(payload, sequence=8).ljust(4096, b"\0")


def test_the_higher_sequence_counts_wherever_it_lies():
    area = written(written(bytes(AREA), OLD), NEW)
    assert decode_area(area) == NEW
    newest = replace(OLD, sequence=8)
    assert decode_area(written(area, newest)) == newest


def test_a_write_torn_anywhere_leaves_the_old_or_gives_the_new():
    # Of another length, so that no block of it is the same as one of the new.
    oldest = SharedConfig(5, SETTINGS, "<domain>" + "o" * 39_000 + "</domain>")
    before = written(written(bytes(AREA), oldest), OLD)
    assert decode_area(before) == OLD
    whole = len(encode_copy(NEW))
    assert whole >= 9 * 4096
    for size in range(0, whole, 4096):
        assert decode_area(written(before, NEW, size)) == OLD, size
    assert decode_area(written(before, NEW, whole)) == NEW


def test_the_first_write_torn_is_damage_not_a_configuration():
    found = decode_area(written(bytes(AREA), NEW, 4096))
    assert isinstance(found, ConfigDamaged)
    assert "second copy: CRC32: " in found.reason


def test_both_copies_damaged_are_both_named():
    found = decode_area(area_of(b"garbage", b"\xff" * 100))
    assert isinstance(found, ConfigDamaged)
    assert found.reason.startswith(
        "first copy: magic: 8 bytes (hex 67 61 72 62 61 67 65 00) is refused; allowed: "
    )
    assert "; second copy: magic: " in found.reason


def test_a_damaged_magic_is_damage_even_if_it_begins_with_nul():
    found = decode_area(area_of(b"\0" + encode_copy(OLD)[1:]))
    assert isinstance(found, ConfigDamaged)
    assert "first copy: magic: " in found.reason


def test_an_impossible_length_is_named():
    head = struct.pack(">8sIIQQ", b"HEHACONF", 1, 0, 0, 2**63)
    found = decode_area(area_of(head))
    assert isinstance(found, ConfigDamaged)
    assert f"length: {2**63} is refused; allowed: at most {512 * KIB - 32}" in found.reason


@pytest.mark.parametrize("size", [0, 4096, AREA - 1])
def test_a_truncated_area_is_named(size):
    found = decode_area(written(bytes(AREA), OLD)[:size])
    assert found == ConfigDamaged(f"the area has {size} bytes, {AREA} are needed")


def test_a_newer_format_that_is_current_is_too_new():
    area = area_of(encode_copy(OLD), raw_copy(b"\x00new", sequence=9, version=2))
    assert decode_area(area) == ConfigTooNew(2, 9)


def test_a_newer_format_that_is_outdated_is_passed_over():
    area = area_of(encode_copy(OLD), raw_copy(b"new", sequence=3, version=2))
    assert decode_area(area) == OLD


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        (b"", "payload: no JSON"),
        (b"\xff", "payload: no JSON"),
        (b"[" * 100_000, "payload: no JSON"),
        (b"[]", "domain_xml: is missing or no text"),
        (b'{"domain_xml": 5, "settings": {}}', "domain_xml: is missing or no text"),
        (b'{"domain_xml": ""}', "settings: an empty value is refused"),
        (b'{"domain_xml": "", "settings": {"x": 1}}', "settings: x: unknown key (value 1)"),
        (
            b'{"domain_xml": "", "settings": {"timing": {"turn_s": 1}}}',
            "settings: timing: turn_s (1) must be at least",
        ),
    ],
)
def test_a_payload_with_a_right_checksum_is_checked_too(payload, named):
    found = decode_area(area_of(raw_copy(payload)))
    assert isinstance(found, ConfigDamaged)
    assert named in found.reason


def test_a_current_configuration_that_is_refused_does_not_bring_back_the_old_one():
    area = area_of(encode_copy(OLD), raw_copy(b"{}", sequence=7))
    assert isinstance(decode_area(area), ConfigDamaged)


def test_a_configuration_that_is_too_large_is_refused_with_the_sizes():
    with pytest.raises(ConfigTooLargeError) as caught:
        encode_copy(SharedConfig(1, SETTINGS, "x" * 600_000))
    assert caught.value.xml_size == 600_000
    assert caught.value.allowed == 512 * KIB - 32
    assert caught.value.size > 600_000
    assert "600000" in str(caught.value)
    assert str(512 * KIB - 32) in str(caught.value)


def test_the_largest_configuration_fits():
    fixed = len(json.dumps({"domain_xml": "", "settings": cluster_settings_to_data(SETTINGS)}))
    config = SharedConfig(2, SETTINGS, "x" * (512 * KIB - 32 - fixed))
    assert len(encode_copy(config)) == 512 * KIB
    assert (
        decode_area(written(written(bytes(AREA), NEW), replace(config, sequence=8))).sequence == 8
    )
    with pytest.raises(ConfigTooLargeError):
        encode_copy(replace(config, domain_xml=config.domain_xml + "x"))


@pytest.mark.parametrize("sequence", [-1, 2**64])
def test_impossible_sequences_are_refused(sequence):
    with pytest.raises(ValueError, match=f"sequence: {sequence} is refused"):
        encode_copy(replace(OLD, sequence=sequence))


def test_the_sequence_can_be_seen_in_the_first_block():
    assert header_sequence(encode_copy(NEW)[:4096]) == 7
    assert header_sequence(bytes(4096)) is None
    assert header_sequence(b"HEHACONF") is None


def test_errors_are_told_in_words():
    assert "no shared configuration" in describe_config_error(ConfigAbsent())
    assert describe_config_error(ConfigDamaged("x: 5")).endswith("damaged: x: 5")
    assert "(format 2)" in describe_config_error(ConfigTooNew(2, 9))


@settings(deadline=None, max_examples=100)
@given(
    st.lists(
        st.tuples(st.integers(0, 12_000), st.binary(min_size=1, max_size=50)),
        min_size=1,
        max_size=4,
    )
)
def test_a_damaged_copy_never_raises_and_never_hides_the_other(patches):
    area = bytearray(written(written(bytes(AREA), OLD), NEW))
    offset = copy_offset(NEW.sequence)
    for place, patch in patches:
        area[offset + place : offset + place + len(patch)] = patch
    assert decode_area(bytes(area)) in (OLD, NEW)
