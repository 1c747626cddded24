# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What people are told of an error: its words, no order, and nothing of Python's own forms."""

from __future__ import annotations

import ast
import errno
import logging
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from ha_broker.api.client import BrokerClient, BrokerError
from ha_broker.cycle.part import ChangeLog
from metadata.error_words import bare_reason, reason, reason_with_file, shown
from metadata.records import describe_slot_error
from metadata.wire import SLOT_SIZE, decode_global, decode_slot
from world.ports.errors import HypervisorError, StorageError, WorldError

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("fsm", "ha_agent", "ha_broker", "hosted_engine", "metadata", "simulation", "world")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
# Its reader writes plug-ins, in Python; a bug's traceback is for who mends the program.
IN_PYTHONS_FORM = {
    *("world/host/plugin_main.py", "world/host/journal.py", "metadata/error_words.py"),
    "metadata/value_class.py",  # what an object is in a debugger, as `dataclasses` has it
}
VERBS = {
    "acquire", "act", "ask", "break", "change", "connect", "create", "destroy", "format", "have",
    "join", "leave", "let", "load", "look", "measure", "move", "ping", "post", "publish", "read",
    "resolve", "resume",
    "send", "set", "shut", "start", "stop", "take", "wait", "watch", "write", "zero",
}  # fmt: skip


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def raised(call: object) -> BaseException:
    try:
        call()  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


# --- what an error says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "why", "with_file"),
    [
        (OSError(errno.ECONNREFUSED, "Connection refused"), "Connection refused", None),
        (OSError(errno.EIO, "Input/output error", "/dev/x"), "Input/output error", "/dev/x: "),
        (OSError(errno.ENOENT, "not there", "/a\x1b[2J\nb"), "not there", "/a?[2J b: "),
        (OSError(errno.ENOENT, os.strerror(errno.ENOENT), 7), os.strerror(errno.ENOENT), None),
        (OSError("closed in the midst"), "closed in the midst", None),
        (OSError(), "OSError", None),
        (socket.timeout("timed out"), "timed out", None),
        (socket.gaierror(-2, "Name or service not known"), "Name or service not known", None),
        (KeyError("sequence"), "sequence is missing", None),
        (ValueError("a\n b"), "a b", None),
        (raised(lambda: b"ab\xff".decode("utf-8")), "no UTF-8 text from byte 2 on", None),
    ],
)
def test_an_error_is_told_by_the_systems_words(
    error: Exception, why: str, with_file: Optional[str]
) -> None:
    assert reason(error) == why
    assert reason_with_file(error) == (with_file or "") + why


@pytest.mark.parametrize("kind", [WorldError, StorageError, HypervisorError, BrokerError])
def test_an_operation_alone_is_no_text(kind: type[WorldError]) -> None:
    error = kind("start the domain", "it is running already")
    assert str(error) == "can't start the domain: it is running already"
    assert bare_reason(error) == "it is running already"


def test_a_broker_that_is_gone_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "s"
    error = raised(BrokerClient(str(path)).status)
    assert str(error) == f"can't ask for the status: there is no broker at {path} (is it running?)"
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(path))
    error = raised(BrokerClient(str(path)).reread)
    words = f"the broker at {path} does not answer: Connection refused"
    assert str(error) == f"can't ask for a new look: {words}"


# --- what was found in a slot -----------------------------------------------------------------


@pytest.mark.parametrize("content", [b'\xa50"\x90', b"maintenance=", b"\x1b[2J\n", b"caf\xc3\xa9"])
def test_bytes_are_no_pythons(content: bytes) -> None:
    data = content.ljust(SLOT_SIZE, b"\0")
    for found in (decode_global(data), decode_slot(7, data)):
        told = describe_slot_error(found)  # type: ignore[arg-type]
        assert re.search(r"\bb'", told) is None and told.isprintable()


def test_a_topic_stands_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    told = ChangeLog()
    told.tell("slot 0", "slot 0: content: 'x' is refused")
    told.tell("slot 3", "can't be read")
    told.tell("slot 0", "")
    assert caplog.messages == [
        "slot 0: content: 'x' is refused",
        "slot 3: can't be read",
        "slot 0: all is well again",
    ]


def test_an_address_in_memory_is_no_value() -> None:
    assert shown([object(), Path("/x")]).count("0x") == 0


# --- the whole program keeps to it ------------------------------------------------------------


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in FILES:
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_no_text_has_pythons_form_of_a_value() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in trees()
        if name_of(path) not in IN_PYTHONS_FORM
        for node in ast.walk(tree)
        if (isinstance(node, ast.FormattedValue) and node.conversion in (ord("r"), ord("a")))
        or (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "repr"
        )
        or (isinstance(node, ast.Constant) and isinstance(node.value, str) and "%r" in node.value)
    ]
    assert found == []


def test_the_systems_words_are_taken_at_one_place() -> None:
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path, tree in trees()
        if name_of(path) != "metadata/error_words.py"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr == "strerror"
        and not (isinstance(node.value, ast.Name) and node.value.id in ("os", "errno_module"))
    ]
    assert found == []


SYSTEMS = {
    "OSError",
    "UnicodeDecodeError",
    "FileNotFoundError",
    "ConnectionError",
    "TimeoutExpired",
}


def names(node: Optional[ast.expr]) -> set[str]:
    return {
        one.attr if isinstance(one, ast.Attribute) else one.id
        for one in ast.walk(node or ast.Constant(0))
        if isinstance(one, (ast.Attribute, ast.Name))
    }


def is_told_raw(node: ast.AST, error: str) -> bool:
    if isinstance(node, ast.FormattedValue):
        return isinstance(node.value, ast.Name) and node.value.id == error
    if not isinstance(node, ast.Call):
        return False
    function = names(node.func)
    return bool(function & {"str", "log"}) and any(
        isinstance(each, ast.Name) and each.id == error for each in node.args
    )


def test_no_handler_tells_a_system_error_as_python_shows_it() -> None:
    found = [
        f"{name_of(path)}:{inner.lineno}"
        for path, tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and node.name and names(node.type) & SYSTEMS
        for inner in ast.walk(node)
        if is_told_raw(inner, node.name)
    ]
    assert found == []


def operations() -> Iterator[tuple[str, str]]:
    """Where an operation is named for an error: ``what = "…"``, and the first argument."""
    for path, tree in trees():
        for node in ast.walk(tree):
            text: Optional[ast.expr] = None
            if isinstance(node, ast.Call) and node.args:
                (called,) = names(node.func) & KINDS or {""}
                text = node.args[0] if called else None
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
                is_one = isinstance(target, ast.Name) and target.id in ("what", "WHAT", "RESUME")
                text = node.value if is_one and "world" in path.parts else None
            if isinstance(text, ast.JoinedStr):
                text = text.values[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield f"{name_of(path)}:{node.lineno}", text.value


KINDS = {
    "WorldError", "StorageError", "LockspaceError", "LeaseHeldError", "LockspaceGoneError",
    "LockspaceBusyError", "HypervisorError", "HypervisorGoneError", "DeliveryError", "BrokerError",
    "OutdatedOrderError", "EngineNotStartedError",
}  # fmt: skip


def test_an_operation_is_an_infinitive() -> None:
    named = list(operations())
    assert len(named) > 50
    assert [(place, text) for place, text in named if text.split()[0] not in VERBS] == []
