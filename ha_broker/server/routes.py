# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's HTTP and JSON interface: what can be asked, and how it is answered.

Every answer comes from memory; whoever asks for news, a change of maintenance, a move or a test
notification waits, with a bound.

What there is, and who may ask for it: `ha_broker.api.resources`.

In the snapshot, ``agent`` is what this host's agent published last (null: nothing yet), with
``agent_published_age_s`` beside it. Its ``penalties`` say what the score lost and since when:
``name``, ``points``, ``reason``; ``value`` held against ``threshold`` in ``unit`` (null and ""
where it is about no number); ``began_at_s``; ``ends_at_s``, when time alone ends or lessens it.
``transitions`` are its latest ten changes of state since the machine's boot (a ``number`` below 1:
an earlier process of the agent did it), ``why`` is what it says now, and ``timeout_at_s`` is when
its state ends by time. ``move`` is the latest live migration of the engine away from here (null:
none was wanted yet): ``what_for`` is "maintenance" or the ``request_id`` that PUT /v1/move has
answered, ``phase`` is waiting, moving, moved or refused. ``move_order`` of the snapshot is such an
order as long as it is not over.

Errors are ``{"error": "..."}`` with a fitting status.

Who may connect says the socket's file. Whoever does may read; what is no GET is a command: root's
and the daemons' own user's, and those of `COMMANDERS` also the users' that host.yaml names in
`command_users`; for others it is refused (403). The record is the agent's own word, by which other
hosts and root's commands go. The configuration as it stood on the storage is root's, too; in
``/v1/config`` others get no domain XML, and of a webhook's address scheme and host alone: both may
hold secrets.
"""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from ha_broker.api.host_news import ALL, lean_answer, parts_answer
from ha_broker.api.json_codec import DataError, defaults_mark, from_data, to_data
from ha_broker.api.resources import COMMANDERS, READERS, paths_for
from ha_broker.api.snapshot import Publication, Snapshot
from ha_broker.api.snapshot_json import parse_json, publication_from_data, snapshot_to_data
from ha_broker.server.access import Access
from ha_broker.server.http_server import Caller, TextAnswer
from ha_broker.server.mailbox import Mailbox, Refusal
from ha_broker.server.told_snapshots import LatestRecord, ToldSnapshots
from metadata.error_words import shown
from metadata.plain_json import is_number
from metadata.plain_text import printable_text
from metadata.secret_names import without_paths
from metadata.settings.parse import cluster_settings_to_data
from metadata.shared_config import encode_stored
from metadata.value_class import value_class
from world.ports.network import NetworkProbe

MAX_WAIT_S = 60.0
_MOST_DIGITS = 20
MAX_CONFIRM_S = 300.0
# The longest time-out of a target, and what the broker adds; it answers earlier by itself.
MAX_TRIAL_S = 140.0
# An order is judged within one cycle, which waits for nothing.
MAX_ORDER_S = 4.0
# An agent that publishes is answered with what the broker has seen since it was told so: a cycle
# comes within some 40 ms. One that does not come is seen by the age of what is told.
LOOK_WITHIN_S = 0.2


@value_class(frozen=True)
class MaintenanceRequest:
    """Body of PUT /v1/maintenance; `timeout_s` bounds the wait for the confirmation.

    `why` goes to the log: a program that changes it says for what reason.
    """

    scope: str
    on: bool
    timeout_s: float = 30.0
    why: str = ""


@value_class(frozen=True)
class MoveBody:
    """Body of PUT /v1/move; `to` may be an id, too (`_whom`)."""

    to: Optional[str] = None


@value_class(frozen=True)
class Nothing:
    """A body without keys."""


READ = "GET"
ANY = -1
"""A sequence that no snapshot has."""
READABLE = paths_for(READERS)
COMMANDS = paths_for(COMMANDERS)
"""Those of `command_users`."""

Query = dict[str, str]
Handler = Callable[[Query, bytes, Optional[Caller]], Any]
Note = Callable[[str, int, float], None]

OTHER = "other"

log = logging.getLogger(__name__)


def _note_nothing(_resource: str, _status: int, _took_s: float) -> None:
    pass


class Api:
    """Routes requests to the mailbox; changes no state of its own, so that any thread may call it.

    `metrics` makes the text for Prometheus; `note` is told of each call what was asked for, the
    answer's HTTP status, and how many seconds it took. `access` says who may have what done;
    without it root and the daemons' own user alone. Whoever publishes and asks for news waits
    `look_within_s` at most. `network` is what is tried for /v1/reach.
    """

    def __init__(
        self,
        mailbox: Mailbox,
        monotonic_s: Callable[[], float],
        metrics: Optional[Callable[[], TextAnswer]] = None,
        note: Note = _note_nothing,
        access: Optional[Access] = None,
        *,
        look_within_s: float = LOOK_WITHIN_S,
        network: Optional[NetworkProbe] = None,
    ) -> None:
        self._mailbox = mailbox
        self._network = network
        self._monotonic_s = monotonic_s
        self._metrics = metrics
        self._note = note
        # Of an earlier broker's marks none is one of ours.
        self._life = os.urandom(8).hex()
        self._told = ToldSnapshots(self._life)
        self._latest = LatestRecord(self._life)
        self._look_within_s = look_within_s
        self._access = access or Access()
        self._routes: dict[tuple[str, str], Handler] = {
            ("GET", "/v1/status"): self._status,
            ("GET", "/v1/changes"): self._changes,
            ("GET", "/v1/sequence"): self._sequence,
            ("GET", "/v1/config"): self._config,
            ("GET", "/v1/config/copy"): self._config_copy,
            ("GET", "/metrics"): self._metrics_text,
            ("PUT", "/v1/record"): self._record,
            ("PUT", "/v1/maintenance"): self._maintenance,
            ("PUT", "/v1/move"): self._move,
            ("PUT", "/v1/reach"): self._reach,
            ("PUT", "/v1/reread"): self._reread,
            ("PUT", "/v1/test-notification"): self._test_notification,
        }
        self._paths = frozenset(path for _, path in self._routes)

    def answer(self, method: str, target: str, body: bytes, caller: Optional[Caller] = None) -> Any:
        """JSON-ready data or a text; raises Refusal. A change names its `caller` in the log.

        Without a `caller` it is this process itself that asks.
        """
        path, _, query = target.partition("?")
        begun_at_s, status = self._monotonic_s(), 500
        try:
            data = self._route(method, path, query, body, caller)
            status = 200
            return data
        except Refusal as refusal:
            status = refusal.status
            raise
        finally:
            self._note(self._resource(path), status, self._monotonic_s() - begun_at_s)

    def _resource(self, path: str) -> str:
        """One of a few names, whatever is asked for."""
        return path if path in self._paths else OTHER

    def _route(
        self, method: str, path: str, query: str, body: bytes, caller: Optional[Caller]
    ) -> Any:
        handler = self._routes.get((method, path))
        if handler is None:
            raise self._no_route(method, path)
        self._check_right(method, path, caller)
        try:
            return handler(_parameters(query), body, caller)
        except DataError as error:
            raise Refusal(400, str(error)) from None

    def _no_route(self, method: str, path: str) -> Refusal:
        methods = sorted(known for known, known_path in self._routes if known_path == path)
        if methods:
            return Refusal(405, f"{path}: {method} is not possible, only {', '.join(methods)}")
        return Refusal(404, f"{path}: no such resource")

    def _check_right(self, method: str, path: str, caller: Optional[Caller]) -> None:
        """Raise Refusal (403) where the caller may not ask that."""
        if caller is None or self._access.administers(caller.uid):
            return
        if path not in self._allowed(caller.uid).get(method, ()):
            log.info("%s %s, asked for by %s, is refused", method, path, caller)
            raise Refusal(403, self._denied_text(method, path, caller.uid))
        if method != READ:
            log.info("%s %s is asked for by %s, of command_users", method, path, caller)

    def _allowed(self, uid: int) -> dict[str, tuple[str, ...]]:
        """The resources for one who is not root, by method."""
        commands = {"PUT": COMMANDS} if self._access.may_command(uid) else {}
        return {READ: READABLE, **commands}

    def _denied_text(self, method: str, path: str, uid: int) -> str:
        allowed = self._allowed(uid)
        only, mend = "", "run it as root"
        if "PUT" not in allowed:
            only = ", which may read only"
        if only and path in COMMANDS:
            mend += ", or name its user in command_users of host.yaml"
        listed = "; ".join(f"{known} of {', '.join(paths)}" for known, paths in allowed.items())
        return (
            f"permission denied: {method} {path} is refused for uid {uid}{only}; {mend}; "
            f"allowed for uid {uid}: {listed}"
        )

    def _status(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query)
        return snapshot_to_data(self._mailbox.snapshot(), self._monotonic_s())

    def _changes(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query, "since", "wait_s", "hosts_since", "parts_since")
        since, wait_s = _known_and_wait_s(query)
        mark = query.get("hosts_since")
        if mark is not None:
            return self._news(since, wait_s, mark, query.get("parts_since"))
        snapshot = self._mailbox.wait_for_change(since, wait_s)
        return snapshot_to_data(snapshot, self._monotonic_s())

    def _sequence(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query, "since", "wait_s")
        since, wait_s = _known_and_wait_s(query)
        return {"sequence": self._mailbox.wait_for_change(since, wait_s).sequence}

    def _news(self, since: int, wait_s: float, mark: str, parts_mark: Optional[str]) -> Any:
        snapshot, versions = self._mailbox.wait_for_news(since, wait_s)
        if versions is None:
            return lean_answer(snapshot, ALL, mark, None)
        version = self._version(mark, versions.latest)
        changed = None if version is None else versions.since(version)
        as_of = f"{self._life}.{versions.latest}"
        if parts_mark is None:
            return lean_answer(snapshot, as_of, mark, changed)
        held, parts_as_of = self._told.told(parts_mark), self._told.remember(snapshot)
        if held is None or changed is None:
            marks = {"parts_as_of": parts_as_of, "defaults": defaults_mark(Snapshot)}
            return {**lean_answer(snapshot, as_of, mark, changed), **marks}
        return parts_answer(snapshot, held, (as_of, parts_as_of), (mark, parts_mark), changed)

    def _version(self, mark: str, latest: int) -> Optional[int]:
        """Of a mark that this very process gave; None: of any other."""
        life, _, digits = mark.partition(".")
        if life != self._life or not (digits.isascii() and digits.isdigit()):
            return None
        version = int(digits) if len(digits) < _MOST_DIGITS else latest + 1
        return version if version <= latest else None

    def _metrics_text(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        if self._metrics is None:
            raise Refusal(404, "/metrics: there are none here")
        return self._metrics()

    def _config(self, query: Query, body: bytes, caller: Optional[Caller]) -> Any:
        _only(query)
        config = self._mailbox.config()
        if config is None:
            error = self._mailbox.snapshot().config.error
            raise Refusal(503, error or "the shared configuration has not been read yet")
        settings = cluster_settings_to_data(config.settings)
        if caller is None or self._access.administers(caller.uid):
            xml = config.domain_xml
        else:
            xml = ""
            settings["notifications"] = _without_paths(settings["notifications"])
        return {"sequence": config.sequence, "settings": settings, "domain_xml": xml}

    def _config_copy(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query)
        stored = self._mailbox.stored_config()
        if stored is None:
            raise Refusal(503, "this broker has read no shared configuration since it was started")
        return {"copy": base64.b64encode(encode_stored(stored)).decode("ascii")}

    def _record(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query, "same_as", "hosts_since", "parts_since")
        if "same_as" in query:
            publication, mark = self._said_before(query["same_as"], body), query["same_as"]
        else:
            publication = publication_from_data(parse_json(body))
            mark = self._latest.remember(publication)
        looks = self._mailbox.publish(publication)
        if "hosts_since" not in query:
            return {"record_as_of": mark}
        self._mailbox.wait_for_look(looks, self._look_within_s)
        news = self._news(ANY, 0.0, query["hosts_since"], query.get("parts_since"))
        return {**news, "record_as_of": mark}

    def _said_before(self, mark: str, body: bytes) -> Publication:
        """The record that the agent says again: it lives. Raises Refusal, DataError."""
        if body:
            raise DataError(["same_as: the record is said again, so there is no body with it"])
        publication = self._latest.told(mark)
        if publication is None:
            why = f"same_as: {shown(mark)} is not the mark of the latest record; send it all"
            raise Refusal(409, why)
        return publication

    def _maintenance(self, query: Query, body: bytes, caller: Optional[Caller]) -> Any:
        _only(query)
        request = from_data(MaintenanceRequest, parse_json(body), refuse_unknown=True)
        if request.scope not in ("global", "local"):
            raise DataError([f"scope: {shown(request.scope)} is not one of global, local"])
        if not 0 <= request.timeout_s <= MAX_CONFIRM_S:
            raise DataError([f"timeout_s: {request.timeout_s:g} is not in 0..{MAX_CONFIRM_S:g}"])
        ticket = self._mailbox.ask_maintenance(request.scope, request.on)
        try:
            ticket.wait(request.timeout_s)
        except Refusal as refusal:
            log.info("%s, asked for by %s, is refused: %s", ticket.what, caller, refusal.why)
            raise self._with_storage_error(refusal) from None
        why = f": {request.why}" if request.why else ""
        log.info("%s, asked for by %s, is done%s", ticket.what, caller, why)
        return {"before": ticket.before}

    def _with_storage_error(self, refusal: Refusal) -> Refusal:
        trouble = self._mailbox.snapshot().storage.error
        if refusal.status != 504 or not trouble:
            return refusal
        return Refusal(504, f"{refusal.why} (storage: {trouble})")

    def _move(self, query: Query, body: bytes, caller: Optional[Caller]) -> Any:
        _only(query)
        ticket = self._mailbox.ask_move(_whom(parse_json(body)))
        try:
            ticket.wait(MAX_ORDER_S)
        except Refusal as refusal:
            log.info("%s, asked for by %s, is refused: %s", ticket.what, caller, refusal.why)
            raise
        order = to_data(ticket.order)
        log.info("%s, asked for by %s, is given (%s)", ticket.what, caller, order["request_id"])
        return order

    def _reach(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        from ha_broker.server.reach import ReachBody, reach  # noqa: PLC0415  # a move is rare

        _only(query)
        asked = from_data(ReachBody, parse_json(body), refuse_unknown=True)
        if self._network is None:
            raise Refusal(404, "/v1/reach: there is no network here")
        return to_data(reach(self._network, self._mailbox.snapshot().hosts, asked))

    def _reread(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query)
        from_data(Nothing, parse_json(body), refuse_unknown=True)
        self._mailbox.ask_reread()
        return {}

    def _test_notification(self, query: Query, body: bytes, _caller: Optional[Caller]) -> Any:
        _only(query)
        from_data(Nothing, parse_json(body), refuse_unknown=True)
        ticket = self._mailbox.ask_trial()
        ticket.wait(MAX_TRIAL_S)
        return {"targets": to_data(ticket.results)}


def _whom(data: object) -> Union[int, str, None]:
    """Where a move is to go by the body of PUT /v1/move; raises DataError."""
    if not isinstance(data, dict) or set(data) - {"to"}:
        # Raises with the keys that are allowed, or that it is no object.
        return from_data(MoveBody, data, refuse_unknown=True).to
    to: object = data.get("to")
    if to is None or (type(to) is int and is_number(to)):
        return to
    if isinstance(to, str) and to:
        return printable_text(to)
    raise DataError([f"to: {shown(to)} is refused; allowed: a host's name, its id, or null"])


def _without_paths(notifications: Mapping[str, Any]) -> dict[str, Any]:
    """Who knows the whole address of a webhook may use it."""
    webhooks = [{**one, "url": without_paths(one["url"])} for one in notifications["webhooks"]]
    return {**notifications, "webhooks": webhooks}


def _parameters(query: str) -> Query:
    """Of one key the last one; only where something is quoted the library is needed."""
    if "%" in query or "+" in query or not query.isascii():
        from urllib.parse import parse_qsl  # noqa: PLC0415  # some hundred KiB

        return dict(parse_qsl(query, keep_blank_values=True))
    pairs = [part.partition("=") for part in query.split("&") if part]
    return {key: value for key, _, value in pairs}


def _only(query: Query, *allowed: str) -> None:
    problems = [
        f"{key}: unknown parameter (allowed: {', '.join(allowed) or 'none'})"
        for key in query
        if key not in allowed
    ]
    if problems:
        raise DataError(problems)


def _known_and_wait_s(query: Query) -> tuple[int, float]:
    """Of a long poll: the sequence that the caller knows, and how long it waits for another one."""
    since = int(_number(query, "since", ANY))
    return since, min(max(0.0, _number(query, "wait_s", 30.0)), MAX_WAIT_S)


def _number(query: Query, key: str, default: float) -> float:
    text: Optional[str] = query.get(key)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise DataError([f"{key}: {shown(text)} is no number"]) from None
    if not -1e15 < value < 1e15:
        raise DataError([f"{key}: {shown(text)} is out of range"])
    return value
