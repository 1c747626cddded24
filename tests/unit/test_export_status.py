# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``hosted-engine --export-status``: deadlines, bounds, the manifest and the file itself."""

from __future__ import annotations

import json
import os
import stat
import tarfile
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hosted_engine.errors import CommandError
from hosted_engine.main import main
from hosted_engine.support_archive import command as export_status
from hosted_engine.support_archive import sources
from hosted_engine.support_archive.collect import Output, Programs
from hosted_engine.support_archive.command import Collected, collect, write_archive
from hosted_engine.support_archive.sources import (
    SHARED_CONFIG,
    Source,
    other_sources,
    shared_config_source,
)
from tests.processes import is_running
from tests.unit.agent_host import HOST

MOST = 1 << 20
FACTOR = float(os.environ.get("HE_TIME_FACTOR", "1"))


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


def run(command: tuple[str, ...], deadline_s: float, most_bytes: int) -> Output:
    return Programs().run(command, deadline_s, most_bytes)


# --- running ----------------------------------------------------------------------------


def test_what_a_command_says_is_kept_with_its_end() -> None:
    found = run(shell("echo out; echo err >&2"), 20, MOST)
    assert (found.data, found.exit_code, found.why) == (b"out\nerr\n", 0, "")
    failed = run(shell("echo no; exit 3"), 20, MOST)
    assert (failed.data, failed.exit_code, failed.why) == (b"no\n", 3, "ended with exit code 3")


def test_a_program_that_is_not_there_is_named() -> None:
    assert run(("no-such-program", "x"), 20, MOST).why == "no-such-program is not installed"


def test_a_program_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    begun_s = time.monotonic()
    found = run(shell(f"echo begun; sleep 300 & echo $! > {pid}; wait"), 0.5, MOST)
    assert time.monotonic() - begun_s < 5 * FACTOR
    assert (found.data, found.why) == (b"begun\n", "has not ended within 0.5 s")
    child = int(pid.read_text())
    deadline_s = time.monotonic() + 10 * FACTOR
    while is_running(child):
        assert time.monotonic() < deadline_s


def test_a_program_that_says_too_much_is_cut() -> None:
    found = run(shell("yes"), 20, 1000)
    assert len(found.data) == 1000
    assert (found.cut, found.why) == (True, "")


def test_a_program_that_closes_its_output_and_hangs_is_not_waited_for() -> None:
    found = run(shell("exec >&- 2>&-; sleep 300"), 0.5, MOST)
    assert found.why == "has not ended within 0.5 s"


# --- collecting -------------------------------------------------------------------------


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> list[Source]:
    """What is collected, in this test."""
    wanted: list[Source] = []
    monkeypatch.setattr(
        export_status, "shared_config_source", lambda: Source("c", shell("echo {}"))
    )
    monkeypatch.setattr(export_status, "other_sources", lambda _host, _domain: wanted)
    return wanted


def names(found: list[Collected]) -> dict[str, str]:
    return {one.source.name: one.output.why for one in found}


def test_one_that_hangs_stops_no_other(few: list[Source]) -> None:
    few += [Source("hangs", shell("sleep 300"), deadline_s=0.5)]
    few += [Source(f"p{number}", shell("echo x")) for number in range(20)]
    begun_s = time.monotonic()
    found = names(collect(30.0, lambda _one: None))
    assert time.monotonic() - begun_s < 10 * FACTOR
    assert found.pop("hangs") == "has not ended within 0.5 s"
    assert list(found) == ["c", *(f"p{number}" for number in range(20))]
    assert set(found.values()) == {""}


def test_when_time_is_up_the_rest_is_left(few: list[Source]) -> None:
    few += [Source(f"p{number}", shell("sleep 300")) for number in range(12)]
    begun_s = time.monotonic()
    found = names(collect(1.0, lambda _one: None))
    assert time.monotonic() - begun_s < 8 * FACTOR
    assert "time was up before its turn" in found.values()
    assert all(found[f"p{number}"] for number in range(12))
    wait_for_the_end_of_all()


def test_who_interrupts_leaves_nothing_running(few: list[Source]) -> None:
    few += [Source("quick", shell("true")), Source("slow", shell("sleep 300"))]

    def interrupt(one: Collected) -> None:
        if one.source.name == "quick":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(30.0, interrupt)
    wait_for_the_end_of_all()


def wait_for_the_end_of_all() -> None:
    """A thread ends with its program."""
    deadline_s = time.monotonic() + 5 * FACTOR
    while any(one.name == "collect" for one in threading.enumerate()):
        assert time.monotonic() < deadline_s


def test_nothing_begins_once_it_is_closed(tmp_path: Path) -> None:
    programs = Programs()
    programs.close()
    assert programs.run(("touch", str(tmp_path / "begun")), 20, MOST).why == "given up"
    assert list(tmp_path.iterdir()) == []


def test_the_end_of_a_file_is_taken(tmp_path: Path, few: list[Source]) -> None:
    (tmp_path / "log").write_text("old\n" * 100 + "new\n")
    few += [
        Source("log", path=str(tmp_path / "log"), most_bytes=8),
        Source("none", path=str(tmp_path / "none")),
        Source("kernel", path="/proc/self/mounts"),
    ]
    _, log, none, kernel = collect(20.0, lambda _one: None)
    assert (log.output.data, log.output.cut) == (b"old\nnew\n", True)
    assert none.output.why == "there is no such file"
    assert kernel.output.data.count(b"\n") > 1


def test_the_sources_have_names_of_their_own_and_bounds() -> None:
    found = [shared_config_source(), *other_sources(HOST, "HostedEngine")]
    assert len({one.name for one in found}) == len(found)
    assert all(bool(one.command) is not bool(one.path) for one in found)
    assert max(one.deadline_s for one in found) <= 15
    assert sum(one.most_bytes for one in found) < 128 << 20
    assert "/shared/leases" in " ".join(one.origin for one in found)


def test_a_host_that_is_not_deployed_has_all_but_its_storage() -> None:
    deployed = {one.name for one in other_sources(HOST, "HostedEngine")}
    others = {one.name for one in other_sources(None, "HostedEngine")}
    assert deployed - others == {"status/vm-status-from-storage.txt"}


# --- the archive ------------------------------------------------------------------------


def content(path: Path) -> dict[str, bytes]:
    """Its files by their names below its one directory."""
    with tarfile.open(path) as archive:
        members = archive.getmembers()
        assert len({member.name.split("/")[0] for member in members}) == 1
        found = {}
        for member in members:
            assert member.mode == 0o600
            file = archive.extractfile(member)
            assert file is not None
            found[member.name.partition("/")[2]] = file.read()
        return found


def exported(path: Path, *words: str) -> dict[str, Any]:
    assert main(["--export-status", str(path), *words]) == 0
    found = json.loads(content(path)["manifest.json"])
    assert isinstance(found, dict)
    return found


def test_the_manifest_says_what_could_not_be_had_and_why(tmp_path: Path, few: list[Source]) -> None:
    few += [
        Source("good", shell("echo x")),
        Source("bad", shell("echo no; exit 3")),
        Source("none", ("no-such-program",)),
        Source("cut", shell("yes"), most_bytes=10),
    ]
    path = tmp_path / "a.tar.gz"
    found = exported(path)
    told = {one["name"]: (one["ok"], one["why"], one["bytes"]) for one in found["pieces"]}
    assert told == {
        "c": (True, "", 3),
        "good": (True, "", 2),
        "bad": (False, "ended with exit code 3", 3),
        "none": (False, "no-such-program is not installed", 0),
        "cut": (False, "only the beginning of it", 10),
    }
    assert content(path)["bad"] == b"no\n"
    assert found["pieces"][2]["from"] == "sh -c echo no; exit 3"


def test_only_its_owner_may_read_it(tmp_path: Path, few: list[Source]) -> None:
    path = tmp_path / "a.tgz"
    before = os.umask(0)
    try:
        exported(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["a.tgz"]


def test_secrets_are_taken_out_of_every_piece(tmp_path: Path, few: list[Source]) -> None:
    (tmp_path / "secret").write_text("Mondschein")
    few += [
        Source("settings/host.yaml", shell(f"echo 'metrics: {{token_file: {tmp_path}/secret}}'")),
        Source("logs", shell("echo he said Mondschein; echo password: Abendrot")),
        Source("why", ("no-such-Mondschein",)),
    ]
    path = tmp_path / "a.tgz"
    exported(path)
    files = content(path)
    assert files["logs"] == b"he said ***\npassword: ***\n"
    texts = b"".join(files.values())
    assert b"Abendrot" not in texts
    assert texts.count(b"Mondschein") == 0


@pytest.mark.parametrize("number", ["1e999", "NaN", "9" * 400])
def test_a_number_out_of_bounds_hides_no_secret(
    tmp_path: Path, few: list[Source], number: str
) -> None:
    (tmp_path / "secret").write_text("Mondschein")
    config = f'{{"a": {number}, "password": "Abendrot", "b_file": "{tmp_path}/secret"}}'
    few += [Source(SHARED_CONFIG, ("echo", config)), Source("logs", shell("echo Mondschein"))]
    path = tmp_path / "a.tgz"
    exported(path)
    files = content(path)
    assert files["logs"] == b"***\n"
    assert b"Abendrot" not in files[SHARED_CONFIG]
    assert number.encode() in files[SHARED_CONFIG]


def test_json_is_one_document_and_nothing_else(
    tmp_path: Path, few: list[Source], capsys: pytest.CaptureFixture[str]
) -> None:
    few += [Source("good", shell("echo x"))]
    path = tmp_path / "a.tgz"
    exported(path, "--json")
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert (document["file"], output.err) == (str(path), "")
    assert [one["name"] for one in document["pieces"]] == ["c", "good"]


def test_people_see_how_far_it_is(
    tmp_path: Path, few: list[Source], capsys: pytest.CaptureFixture[str]
) -> None:
    few += [Source("bad", shell("exit 3"))]
    exported(tmp_path / "a.tgz")
    output = capsys.readouterr()
    assert output.out == f"{tmp_path}/a.tgz: 2 pieces; manifest.json says why 1 could not be had\n"
    assert "hosted-engine: bad: ended with exit code 3 (" in output.err


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_there_is_replaced_only_by_force(
    tmp_path: Path, few: list[Source], kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, other = tmp_path / "a.tgz", tmp_path / "other"
    other.write_text("mine")
    if kind == "link":
        path.symlink_to(other)
    else:
        path.write_text("mine")
    assert main(["--export-status", str(path)]) == 1
    assert "is there already; give another name, or --force" in capsys.readouterr().err
    assert path.read_text() == "mine"
    exported(path, "--force")
    assert other.read_text() == "mine"
    assert not path.is_symlink()


def test_a_file_that_appears_meanwhile_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tgz"
    path.write_text("mine")
    with pytest.raises(CommandError, match="can't be written: File exists"):
        write_archive(path, [], force=False)
    assert path.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["a.tgz"]


@pytest.mark.parametrize(
    ("target", "code", "problem"),
    [
        ("a.zip", 2, "'a.zip' is refused; allowed: a file named *.tar.gz or *.tgz"),
        ("/none/a.tgz", 1, "/none/a.tgz: can't be written"),
        ("/proc/a.tgz", 1, "/proc/a.tgz: can't be written"),
    ],
)
def test_a_file_that_cannot_be_is_told_before_anything_is_collected(
    target: str,
    code: int,
    problem: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(export_status, "collect", lambda *_: [])
    assert main(["--export-status", target]) == code
    error = capsys.readouterr().err
    assert problem in error
    assert len(error.splitlines()) == 1


def test_a_domain_whose_name_begins_with_a_dash_is_no_option_of_virsh() -> None:
    name = "--no-such-option"
    asked = [source.command for source in sources._libvirt("qemu:///system", name)]
    named = [command for command in asked if name in command]
    assert len(named) == 4
    assert all(command[-2:] == ("--", name) for command in named)
