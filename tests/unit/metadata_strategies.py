# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Hypothesis strategies for the metadata values, odd characters and huge fields included."""

from __future__ import annotations

from hypothesis import strategies as st

from metadata.records import EngineStatus, EngineVm, Health, HostRecord

# Surrogates too: a text that came out of a library may hold them.
_ODD_TEXT = st.text(st.characters(), max_size=40)
_HUGE_TEXT = st.builds(
    lambda text, times: text * times,
    st.text(st.characters(), min_size=1, max_size=10),
    st.sampled_from([60, 500, 5000]),
)
ANY_TEXT = st.one_of(_ODD_TEXT, _HUGE_TEXT, st.sampled_from(["a=b", "a|b", "a\nb", '"', "\\"]))
# By their number: some versions of hypothesis write samples out, and Python refuses that.
_HUGE = (2**64, -(2**64), 10**6000)
ANY_INTEGER = st.one_of(st.integers(), st.sampled_from(range(len(_HUGE))).map(_HUGE.__getitem__))

# What goes through the wire unchanged.
PLAIN_TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, blacklist_characters="|="), max_size=30
)
_PLAIN_KEY = PLAIN_TEXT.map(lambda text: "k" + text)
PLAIN_INTEGER = st.integers(-(10**18), 10**18)


def records(text, integer, key, host_id) -> st.SearchStrategy[HostRecord]:
    status = st.builds(
        EngineStatus,
        vm=st.sampled_from(list(EngineVm)),
        health=st.sampled_from(list(Health)),
        detail=text,
        reason=text,
    )
    return st.builds(
        HostRecord,
        host_id=host_id,
        timestamp_s=integer,
        score=integer,
        engine_status=status,
        hostname=text,
        maintenance=st.booleans(),
        stopped=st.booleans(),
        conf_on_shared_storage=st.booleans(),
        vm_conf_refresh_s=integer,
        state=text,
        timeout_wall_time=text,
        wall_time=text,
        vm_conf_refresh_wall_time=text,
        notes=st.lists(st.tuples(key, text), max_size=8).map(tuple),
        trailing_fields=st.lists(text, max_size=4).map(tuple),
        feature_version=integer,
    )


ANY_RECORD = records(ANY_TEXT, ANY_INTEGER, ANY_TEXT, st.integers(1, 2000))
PLAIN_RECORD = records(PLAIN_TEXT, PLAIN_INTEGER, _PLAIN_KEY, st.integers(1, 2000))
