# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The catalogue of what can be asked of the broker, and by whom: text only.

`ha_broker.server.routes` answers it and goes by its rights; docs/api.md is written from it.
"""

from __future__ import annotations

from typing import NamedTuple

READERS = "whoever may connect"
COMMANDERS = "root, the daemons' user, and the users of `command_users`"
ROOT = "root, and the daemons' user"


class Resource(NamedTuple):
    """One method of one path.

    `query` and `body` are pairs of a key and what it may be; `right` is who may ask: READERS,
    COMMANDERS or ROOT.
    """

    method: str
    path: str
    what: str
    right: str
    answer: str
    query: tuple[tuple[str, str], ...] = ()
    body: tuple[tuple[str, str], ...] = ()


RESOURCES: tuple[Resource, ...] = (
    Resource(
        "GET",
        "/v1/status",
        "what this broker knows now, from its memory",
        READERS,
        "a Snapshot, with an age beside each stamp",
    ),
    Resource(
        "GET",
        "/v1/changes",
        "the same, once it is another one",
        READERS,
        "a Snapshot; the same as before when nothing has changed in that time. With `hosts_since`"
        " without `agent`, `events`, `notifications`, ages and the monitors that only people read"
        " (`storage-renewal`, `storage-space`, `guest-agent`, `storage-latency`,"
        " `storage-write-age`), and with `hosts_as_of`: the mark"
        " for the next call, and, where only hosts with news are told, `hosts_since` and"
        " `hosts_gone`; with `parts_since` with `parts_as_of` and, where all is told, `defaults`"
        " (it follows from the defaults of all fields, which are left out in the next answers: a"
        " caller with others asks without `parts_since`), and, where `parts_since` is"
        " repeated, without all else that is as it was",
        query=(
            ("since", "the `sequence` that is known already (default -1: none)"),
            ("wait_s", "how long to wait for another one: 0 to 60 (default 30)"),
            ("hosts_since", "`all`, or the mark of the answer before: only hosts with news since"),
            ("parts_since", "with it: `all`, or that mark of the answer before, for all else"),
        ),
    ),
    Resource(
        "GET",
        "/v1/sequence",
        "whether there is news for agents",
        READERS,
        "`sequence`, once it is another one; the same as before when nothing has changed in that"
        " time",
        query=(
            ("since", "the `sequence` that is known already (default -1: none)"),
            ("wait_s", "how long to wait for another one: 0 to 60 (default 30)"),
        ),
    ),
    Resource(
        "GET",
        "/v1/config",
        "the shared configuration as last read",
        READERS,
        "`sequence`, `settings` and `domain_xml`; who is not root gets no domain XML, and of a"
        " webhook's address scheme and host alone. 503 when none has been read yet",
    ),
    Resource(
        "GET",
        "/v1/config/copy",
        "the same as it stood on the storage, with all that people have put there",
        ROOT,
        "`copy`, in base64. 503 when none has been read since the start",
    ),
    Resource(
        "GET",
        "/metrics",
        "numbers for Prometheus",
        READERS,
        "text in its format, no JSON",
    ),
    Resource(
        "PUT",
        "/v1/record",
        "what this host's agent says of itself, for its own slot on the storage",
        ROOT,
        "`record_as_of`: its mark. With `hosts_since` also what `/v1/changes` would answer to these"
        " marks, as of the broker's next look (0.2 s at most). 409 where `same_as` is not the mark"
        " of the latest record",
        query=(
            ("same_as", "the mark of the record before: it is said again, and there is no body"),
            ("hosts_since", "as with `/v1/changes`"),
            ("parts_since", "likewise"),
        ),
        body=(("", "a Publication, whole; unknown keys are refused"),),
    ),
    Resource(
        "PUT",
        "/v1/maintenance",
        "sets maintenance, and waits until that was read back",
        COMMANDERS,
        "`before`: what it was. 504 when it could not be confirmed in time. Where no host takes the"
        " engine from here, `local` is refused as a move is",
        body=(
            ("scope", "`global` or `local` (this host)"),
            ("on", "true or false"),
            ("timeout_s", "how long to wait for it: 0 to 300 (default 30)"),
            ("why", "a text for the log (default: none)"),
        ),
    ),
    Resource(
        "PUT",
        "/v1/move",
        "has this host's agent move the engine alive to another host",
        COMMANDERS,
        "a MoveOrder; how it goes on stands in the Snapshot, in `agent.move`. Refused where the"
        " engine can't be moved, with each host's reason, after the hosts' records were read"
        " once more (2 s at most)",
        body=(("to", "a host's name or id; null: the best one that can take it (the default)"),),
    ),
    Resource(
        "PUT",
        "/v1/reach",
        "tries whether another host's libvirt is reached from here, and hangs up",
        ROOT,
        "`answered`: whether its port took the connection in time, and with TLS said something;"
        " null: nothing was tried (no such name, no host says that it takes the engine there),"
        " which says nothing about it; `detail` says it in words",
        body=(
            ("address", "a libvirt's, as a host's record has it: `takes=at ...`"),
            ("timeout_s", "how long that may take: 0.1 to 10 (default 3)"),
        ),
    ),
    Resource(
        "PUT",
        "/v1/reread",
        "has configuration and all slots read anew",
        COMMANDERS,
        "an empty object",
    ),
    Resource(
        "PUT",
        "/v1/test-notification",
        "sends a test to every mail server and webhook, and waits",
        COMMANDERS,
        "`targets`: a list of TrialResult",
    ),
)


def paths_for(right: str) -> tuple[str, ...]:
    """Those that `right` alone opens, in order."""
    return tuple(one.path for one in RESOURCES if one.right == right)
