# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""--deploy from its answers to the next host's: questions, checks, preview, and being cut off."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, Optional

import pytest
import yaml

from hosted_engine.cluster.storage_survey import AreaKind, survey
from hosted_engine.deploy import check_input
from hosted_engine.deploy import findings as deploy_findings
from hosted_engine.deploy import lockspace_survey as deploy_place
from hosted_engine.deploy.answers import local_settings, parse_answers
from hosted_engine.deploy.checks_storage import spare_block
from hosted_engine.deploy.command import DeployRequest, deploy
from hosted_engine.deploy.next_host_answers import next_answers, write_next_answers
from hosted_engine.deploy.plan import _unlike_host
from hosted_engine.errors import CommandError, UsageError
from hosted_engine.host.alone import refuse_with_threads
from hosted_engine.host.settings_file import write_host_settings
from hosted_engine.storage import connect as storage_connect
from metadata.domain_xml import lease_element
from metadata.settings.parse import HostSettings
from metadata.settings.storage_connection import NfsConnection
from metadata.shared_config import SharedConfig, copy_offset, encode_copy
from tests.unit.deploy_scene import Scene, put_record
from tests.unit.disk_areas import EXT2
from tests.unit.test_command_deploy import (
    CREATING,
    PARTS,
    PATH,
    SETTINGS,
    cluster_store,
    put,
    read_answers,
    store,
)
from world.host_file import read_host_settings
from world.ports.errors import LockspaceGoneError
from world.ports.sanlock import Membership

NFS = {"type": "nfs", "server": "192.0.2.7", "export": "/x", "mount_point": "/shared"}
DOMAIN = (
    "<domain type='kvm'><name>HostedEngine</name><memory unit='MiB'>4096</memory>"
    "<os><type>hvm</type></os>"
    f"<devices>{lease_element(PARTS)}</devices></domain>"
)


def joinable() -> Any:
    """A volume with a cluster whose engine could run here."""
    volume = cluster_store()
    place = PARTS.shared_config.offset + copy_offset(2)
    put(volume, place, encode_copy(SharedConfig(2, SETTINGS, DOMAIN)))
    return volume


class Desk:
    """An administrator at a scene: writes files, types, and reads what is said."""

    def __init__(self, folder: Path, volume: Any) -> None:
        self.scene = Scene(folder, volume)
        self.folder = folder
        self.xml = folder / "engine.xml"
        self.xml.write_text(DOMAIN)

    def creating(self, **changes: Any) -> str:
        engine = {**CREATING["engine"], "domain_xml_file": str(self.xml)}
        return self.file({**CREATING, "engine": engine, **changes})

    def joining(self, **changes: Any) -> str:
        return self.file({"storage": {"path": PATH}, **changes})

    def file(self, data: object) -> str:
        path = self.folder / "given.yaml"
        path.write_text(yaml.safe_dump(data))
        return str(path)

    def deploy(self, terminal: Optional[Typist] = None, **request: Any) -> int:
        return deploy(self.scene.world(), DeployRequest(**request), terminal)

    def refusal(self, terminal: Optional[Typist] = None, **request: Any) -> str:
        with pytest.raises(CommandError) as caught:
            self.deploy(terminal, **request)
        assert "\n" not in caught.value.message
        return caught.value.message

    @property
    def said(self) -> str:
        return "\n".join(self.scene.said)

    def settings(self) -> HostSettings:
        found = read_host_settings(str(self.scene.settings_file))
        assert found is not None
        return found


class Typist:
    """Types the lines; keeps what was asked."""

    def __init__(self, *lines: str) -> None:
        self.prompts: list[str] = []
        self._lines: Iterator[str] = iter(lines)

    def ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        for line in self._lines:
            return line
        raise CommandError("the input ended: nothing was changed")

    def agrees(self, question: str) -> bool:
        return self.ask(question) == "y"


class Here:
    """A job that this process does itself, when it is asked for the result."""

    def __init__(self, job: Callable[[], object]) -> None:
        refuse_with_threads()
        self._job = job

    def result(self, _whom: str, _deadline_s: float, _end_s: float) -> object:
        return self._job()

    def end(self) -> None:
        pass


@pytest.fixture
def checks_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process of its own for each check, and no interpreter for the engine's file: a dozen for
    each deployment, of which one test of each kind is enough."""
    monkeypatch.setattr(deploy_findings, "Apart", Here)
    monkeypatch.setattr(check_input, "within_deadline_anew", lambda job, _whom, _deadline_s: job())


@pytest.fixture
def first(tmp_path: Path, checks_here: None) -> Desk:
    return Desk(tmp_path, store())


@pytest.fixture
def next_one(tmp_path: Path, checks_here: None) -> Desk:
    return Desk(tmp_path, joinable())


def bytes_of(desk: Desk) -> bytes:
    return bytes(desk.scene.volume.volumes[PATH])


# --- from a file ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["create", "join"])
def test_checks_in_processes_of_their_own_find_the_same(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    said = []
    for way in ("apart", "here"):
        if way == "here":
            request.getfixturevalue("checks_here")
        desk = Desk(tmp_path, store() if kind == "create" else joinable())
        given = desk.creating() if kind == "create" else desk.joining()
        assert desk.deploy(answers_file=given) == 0
        desk.scene.settings_file.unlink()
        (tmp_path / "answers.yaml").unlink()
        said.append(desk.scene.said)
    assert said[0] == said[1]
    assert sum(line.startswith("[ ok ]") for line in said[0]) > 10


def test_preview_says_what_is_done_before_it_is_done(first: Desk) -> None:
    assert first.deploy(answers_file=first.creating()) == 0
    preview, _, done = first.said.partition("[ ok ] storage formatted")
    assert f"{PATH} holds nothing yet" in preview
    assert f"format 5 areas: lockspace at 0 MiB of {PATH}, lease at 1 MiB, metadata at 2" in preview
    assert "join the lockspace as host id 1, with sanlock's io_timeout at 2 s: takes 5 s" in preview
    assert f"write {first.scene.settings_file}: host h9, bridge ovirtmgmt" in preview
    assert "enable and start ha-broker.service and ha-agent.service" in preview
    assert "Done: the cluster is created" in done


def test_preview_of_a_join_names_the_id_and_the_network(next_one: Desk) -> None:
    assert next_one.deploy(answers_file=next_one.joining()) == 0
    assert "join the lockspace as host id 2 (or the next one that is free)" in next_one.said
    assert "host h9, bridge ovirtmgmt, gateway 198.51.100.1" in next_one.said
    assert next_one.settings().host_id == 2


def test_what_is_destroyed_stands_in_the_preview(next_one: Desk) -> None:
    next_one.scene.volume.volumes[PATH][:1024] = bytes(1024)  # nobody lives there
    next_one.deploy(answers_file=next_one.creating(), force=True)
    preview, _, _ = next_one.said.partition("[ ok ] storage formatted")
    assert "DESTROY what is there: " in preview


def test_failed_check_changes_nothing_and_names_all(first: Desk) -> None:
    first.scene.has_lock_manager = False
    first.scene.lockspace.host_name = "localhost"
    before = bytes_of(first)
    message = first.refusal(answers_file=first.creating())
    assert message.startswith("nothing was changed: sanlock: ")
    assert 'lock_manager = "sanlock"' in message
    assert bytes_of(first) == before
    assert not first.scene.settings_file.exists()


def test_who_sees_the_findings_is_told_their_names_alone(first: Desk) -> None:
    first.scene.has_lock_manager = False
    message = first.refusal(Typist(), answers_file=first.creating())
    assert message == "nothing was changed: see what failed above (lock manager), and mend it"


def test_warnings_do_not_keep_a_host_out(first: Desk) -> None:
    first.scene.probes.probe.answers = False
    assert first.deploy(answers_file=first.creating()) == 0
    assert "[warn] network: ping to 198.51.100.1" in first.said


def test_file_is_not_asked_about_on_a_terminal(first: Desk) -> None:
    nobody = Typist()
    assert first.deploy(nobody, answers_file=first.creating()) == 0
    assert nobody.prompts == []


def test_without_file_and_terminal_the_way_out_is_named(first: Desk) -> None:
    with pytest.raises(UsageError, match="--config-append=FILE"):
        first.deploy()


def test_deployed_host_needs_no_answers(first: Desk) -> None:
    first.deploy(answers_file=first.creating())
    before = (bytes_of(first), first.scene.settings_file.read_bytes())
    assert first.deploy() == 0
    assert "this host is deployed already, as h9 (id 1)" in first.said
    assert (bytes_of(first), first.scene.settings_file.read_bytes()) == before
    assert first.scene.orders == ["enable", "enable"]


def test_slip_of_the_pen_on_a_deployed_host_costs_nothing(first: Desk) -> None:
    first.deploy(answers_file=first.creating())
    other = "/shared/leasse"
    first.scene.volume.add(other, len(first.scene.volume.volumes[PATH]))
    before = (bytes(first.scene.volume.volumes[other]), first.scene.settings_file.read_bytes())
    for force in (False, True):
        wrong = first.creating(storage={"path": other, "connection": NFS})
        message = first.refusal(answers_file=wrong, force=force)
        assert "deployed already, as h9 (id 1) on /shared/leases" in message
        assert "storage.path: '/shared/leasse' (host.yaml has '/shared/leases')" in message
        assert "systemctl stop" not in message
        assert "[fail] deployed: " not in first.said
        check = first.refusal(answers_file=wrong, force=force, check=True)
        assert "deployed" in check
        assert "[fail] deployed: this host is deployed already" in first.said
        assert "would create" not in first.said
        first.scene.said.clear()
    after = (bytes(first.scene.volume.volumes[other]), first.scene.settings_file.read_bytes())
    assert after == before


def test_check_on_a_deployed_host_says_where_it_is(first: Desk) -> None:
    first.deploy(answers_file=first.creating())
    assert first.deploy(check=True) == 0
    assert "[ ok ] deployed: this host is deployed already, as h9 (id 1) on " in first.said


# --- --check ----------------------------------------------------------------------------------


def test_check_says_what_would_be_done_and_does_nothing(next_one: Desk) -> None:
    before = bytes_of(next_one)
    assert next_one.deploy(answers_file=next_one.joining(), check=True) == 0
    assert "[ ok ] plan: --deploy would join the cluster as h9 (id 2)" in next_one.said
    assert bytes_of(next_one) == before
    assert sorted(path.name for path in next_one.folder.iterdir()) == ["engine.xml", "given.yaml"]


def test_check_that_fails_names_what_failed(first: Desk) -> None:
    first.scene.has_lock_manager = False
    message = first.refusal(answers_file=first.creating(), check=True)
    assert message == "1 of 19 checks failed: lock manager"


def test_plan_that_is_refused_fails_the_check(first: Desk) -> None:
    assert first.refusal(answers_file=first.joining(), check=True).endswith("failed: plan")
    assert "[fail] plan: /shared/leases holds nothing, so no cluster to join" in first.said


def test_check_for_scripts_is_one_document(first: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    assert first.deploy(answers_file=first.creating(), check=True, as_json=True) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ok"] is True
    assert {one["result"] for one in document["checks"]} == {"ok"}
    assert first.said == ""
    first.scene.probes.bridge_states = {}
    assert first.deploy(answers_file=first.creating(), check=True, as_json=True) == 1
    document = json.loads(capsys.readouterr().out)
    (failed,) = [one for one in document["checks"] if one["result"] == "fail"]
    assert failed["name"] == "bridge"
    assert failed["mend"]


def test_check_does_not_wait_for_a_join_under_way(next_one: Desk) -> None:
    next_one.scene.lockspace.membership = (  # type: ignore[method-assign]
        lambda host_id: Membership.JOINING if host_id == 1 else Membership.OUT
    )
    began_s = next_one.scene.clock.monotonic_s()
    next_one.refusal(answers_file=next_one.joining(), check=True)
    assert next_one.scene.clock.monotonic_s() == began_s
    assert "has been joining the lockspace as host id 1" in next_one.said


def test_join_under_way_is_waited_for_with_a_sign_of_life(
    next_one: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    next_one.scene.lockspace.membership = (  # type: ignore[method-assign]
        lambda host_id: Membership.JOINING if host_id == 1 else Membership.OUT
    )
    monkeypatch.setattr(deploy_place, "LOOK_EVERY_S", 5.0)
    assert "for more than 300 s" in next_one.refusal(answers_file=next_one.joining())
    assert 25 <= next_one.said.count("still joining the lockspace as host id 1") <= 31


# --- asked on a terminal ----------------------------------------------------------------------


def test_new_cluster_is_asked_for_from_end_to_end(first: Desk) -> None:
    typist = Typist(PATH, "", "", "", "10.0.0.1", str(first.xml), "engine.example.org", "5", "y")
    assert first.deploy(typist) == 0
    assert [re.split(r" [\[(]|: ", prompt)[0] for prompt in typist.prompts] == [
        "Shared storage",
        "Name of this host",
        "Host id",
        "Management bridge",
        "Gateway",
        "File with the engine's domain XML",
        "The engine's host name",
        "sanlock's io_timeout in seconds",
        "Go on?",
    ]
    settings = first.settings()
    assert (settings.host_name, settings.host_id) == ("h9", 1)
    assert (settings.bridge, settings.gateway) == ("ovirtmgmt", "10.0.0.1")
    shared = survey(first.scene.volume, PARTS).config
    assert shared is not None
    assert shared.settings.engine.fqdn == "engine.example.org"
    assert shared.settings.timing.io_timeout_s == 5


def test_joining_is_offered_where_there_is_a_cluster(next_one: Desk) -> None:
    typist = Typist(PATH, "", "", "", "", "y")
    assert next_one.deploy(typist) == 0
    assert "it holds a hosted-engine cluster with hosts h1 (id 1)" in next_one.said
    assert "[ovirtmgmt]" in typist.prompts[3]
    assert "[198.51.100.1]" in typist.prompts[4]
    assert next_one.settings().host_id == 2


def test_former_id_of_a_host_is_proposed_by_its_name(next_one: Desk) -> None:
    put_record(next_one.scene.volume, 7, "h7")
    typist = Typist(PATH, "h7", "", "", "", "y")
    assert next_one.deploy(typist) == 0
    assert typist.prompts[2] == "Host id [7]: "
    assert next_one.settings().host_id == 7


def test_silent_sanlock_is_the_checks_matter(next_one: Desk) -> None:
    def gone() -> NoReturn:
        raise LockspaceGoneError("ask sanlock", "gone")

    next_one.scene.lockspace.daemon_host_name = gone  # type: ignore[method-assign]
    typist = Typist(PATH, "", "", "", "")
    assert "(sanlock)" in next_one.refusal(typist)
    assert typist.prompts[2] == "Host id [2, or the next that is free]: "


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["", PATH], "it is needed"),
        (["leases", PATH], "'leases' is refused; allowed: an absolute path"),
        (["/nowhere", PATH], "/nowhere does not exist; make it"),
        ([PATH, "a b", "h9"], "'a b' is refused; allowed: 1 to 48"),
        ([PATH, "", "many", ""], "'many' is refused; allowed: an integer"),
        ([PATH, "", "1", ""], "host.host_id: 1 is refused: it belongs to h1 (id 1)"),
        ([PATH, "", "", "br7", "-"], "this host has no br7 (its bridges: ovirtmgmt)"),
        ([PATH, "", "", "", "a b", "-"], "'a b' is refused; allowed: an IP address"),
    ],
)
def test_answer_that_can_not_be_is_asked_for_again_with_the_reason(
    next_one: Desk, lines: list[str], why: str
) -> None:
    typist = Typist(*lines)  # the last but one is wrong, the last one is right
    assert "the input ended" in next_one.refusal(typist)
    assert f"  {why}" in next_one.said
    *_, wrong, again, after = typist.prompts
    assert wrong == again != after


def test_domain_without_its_lease_is_asked_for_again(first: Desk) -> None:
    bare = first.folder / "bare.xml"
    bare.write_text("<domain><name>x</name><devices/></domain>")
    typist = Typist(PATH, "", "", "", "", "/nowhere.xml", str(bare), str(first.xml))
    first.refusal(typist)
    assert "/nowhere.xml can't be read" in first.said
    assert "has no lease 'engine'" in first.said
    assert typist.prompts[-1].startswith("The engine's host name")


def test_used_storage_is_refused_at_once_and_taken_by_force(first: Desk) -> None:
    put(first.scene.volume, 0, EXT2)
    first.refusal(Typist(PATH))
    assert "it is in use: it holds a file system (ext2)" in first.said
    typist = Typist(PATH, "", "", "", "-", str(first.xml), "-", "-", "", "y")
    assert first.deploy(typist, force=True) == 0
    assert "DESTROY what is there: a file system (ext2)" in first.said
    assert first.settings().gateway == ""


@pytest.mark.parametrize("word", ["n", "", "no"])
def test_nothing_is_done_without_a_yes(next_one: Desk, word: str) -> None:
    before = bytes_of(next_one)
    message = next_one.refusal(Typist(PATH, "", "", "", "", word))
    assert message == "not confirmed: nothing was changed"
    assert bytes_of(next_one) == before
    assert not next_one.scene.settings_file.exists()


def test_yes_can_be_given_beforehand(next_one: Desk) -> None:
    assert next_one.deploy(Typist(PATH, "", "", "", ""), yes=True) == 0


def test_input_that_ends_changes_nothing(next_one: Desk) -> None:
    before = bytes_of(next_one)
    assert "nothing was changed" in next_one.refusal(Typist(PATH, ""))
    assert bytes_of(next_one) == before
    assert sorted(path.name for path in next_one.folder.iterdir()) == ["engine.xml"]


def test_file_with_some_answers_is_asked_for_the_rest(first: Desk) -> None:
    typist = Typist(PATH, str(first.xml), "y")
    given = first.file({"host": {"gateway": "10.0.0.1"}, "engine": {"health_url": "http://e/"}})
    assert first.deploy(typist, answers_file=given) == 0
    assert len(typist.prompts) == 3
    assert first.settings().gateway == "10.0.0.1"
    shared = survey(first.scene.volume, PARTS).config
    assert shared is not None and shared.settings.engine.health_url == "http://e/"


@pytest.mark.parametrize("data", [{}, None])
def test_file_without_any_answer_is_as_good_as_none(next_one: Desk, data: object) -> None:
    typist = Typist(PATH, "y")
    assert next_one.deploy(typist, answers_file=next_one.file(data)) == 0
    assert "storage: is missing" in next_one.refusal(answers_file=next_one.file({}))


def test_wrong_file_is_refused_before_anybody_is_asked(first: Desk) -> None:
    nobody = Typist()
    given = first.file({"host": {"host_id": 0}, "engine": {"colour": "red"}})
    message = first.refusal(nobody, answers_file=given)
    assert "host_id: 0 is refused" in message
    assert "engine.colour: unknown key" in message
    assert nobody.prompts == []


def test_typed_answers_are_kept_until_the_host_is_deployed(next_one: Desk) -> None:
    kept = next_one.folder / "typed-answers.yaml"
    next_one.scene.has_lock_manager = False
    next_one.refusal(Typist(PATH, "h7", "", "", ""))
    assert yaml.safe_load(kept.read_text())["host"]["host_name"] == "h7"
    assert f"--config-append={kept}" in next_one.said
    next_one.scene.has_lock_manager = True
    assert next_one.deploy(answers_file=str(kept)) == 0
    assert next_one.settings().host_name == "h7"
    assert not kept.exists()


# --- the answers for the next host ------------------------------------------------------------


def test_next_host_gets_its_answers(first: Desk) -> None:
    first.deploy(answers_file=first.creating(host={"libvirt_uri": "test:///default"}))
    path = first.folder / "answers.yaml"
    assert yaml.safe_load(path.read_text()) == {
        "storage": {"path": PATH, "sector_size": 512},
        "host": {"libvirt_uri": "test:///default"},
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert first.scene.said[-2:] == [
        f"On the next host, with {path} copied there:",
        "  hosted-engine --deploy --config-append=answers.yaml",
    ]


def test_answers_for_the_next_host_go_where_they_are_wanted(next_one: Desk) -> None:
    target = next_one.folder / "next.yaml"
    next_one.deploy(answers_file=next_one.joining(), next_answers_file=str(target))
    assert target.exists()
    assert not (next_one.folder / "answers.yaml").exists()


def test_nothing_is_begun_when_they_can_not_go_there(next_one: Desk) -> None:
    before = bytes_of(next_one)
    for target in (next_one.folder / "none" / "next.yaml", next_one.folder):
        message = next_one.refusal(answers_file=next_one.joining(), next_answers_file=str(target))
        assert message.startswith(f"--write-answers={target} is refused")
    assert bytes_of(next_one) == before


def test_host_is_deployed_even_when_they_can_not_be_written(next_one: Desk) -> None:
    (next_one.folder / "answers.yaml").mkdir()
    assert next_one.deploy(answers_file=next_one.joining()) == 0
    assert "[warn] the answers for the next host: " in next_one.said


def test_next_host_connects_its_storage_as_this_one_does() -> None:
    connection = NfsConnection("nfs4", "filer.example.org", "/x", "/shared")
    host = HostSettings(1, "h1", PARTS, bridge="br0", gateway="10.0.0.1", connection=connection)
    storage = next_answers(host)["storage"]
    assert storage["path"] == PATH
    assert storage["connection"]["server"] == "filer.example.org"
    assert "host" not in next_answers(host)


def test_storage_is_connected_first_but_not_by_a_look(
    next_one: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[object] = []
    monkeypatch.setattr(
        storage_connect, "connect", lambda _host, connection, _site: connected.append(connection)
    )
    connection = {"type": "nfs", "server": "filer", "export": "/x", "mount_point": "/shared"}
    given = next_one.file({"storage": {"path": PATH, "connection": connection}})
    next_one.deploy(answers_file=given, check=True)
    assert connected == []
    next_one.deploy(answers_file=given)
    assert connected == [NfsConnection("nfs", "filer", "/x", "/shared")]
    assert next_one.settings().connection == connected[0]


# --- cut off ----------------------------------------------------------------------------------


def test_interrupted_deployment_says_that_it_can_go_on(
    next_one: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt() -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(next_one.scene.units, "enable", interrupt)
        message = next_one.refusal(answers_file=next_one.joining())
    assert message == "interrupted; the same --deploy goes on where this one was"
    assert next_one.deploy(answers_file=next_one.joining()) == 0
    assert next_one.settings().host_id == 2


class KilledError(Exception):
    """From now on this process does nothing any more."""


class Mortal:
    """The scene's world, all of whose doings end at the `last`-th one, as after kill -9."""

    def __init__(self, last: int) -> None:
        self.dead = False
        self._left = last

    def watched(self, doing: Callable[..., Any]) -> Callable[..., Any]:
        def call(*values: Any) -> Any:
            if spare_block(PARTS) in values:
                return doing(*values)  # a check, which changes nothing
            self.dead = self.dead or self._left == 0
            if self.dead:
                raise KilledError
            self._left -= 1
            return doing(*values)

        return call

    def seize(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        for thing, names in (
            (scene.volume, ("write", "zero")),
            (scene.lockspace, ("join", "leave_if_unused", "format_lockspace")),
            (scene.units, ("enable",)),
        ):
            for name in names:
                monkeypatch.setattr(thing, name, self.watched(getattr(thing, name)))
        for module in ("host.settings_file", "deploy.next_host_answers"):
            path = f"hosted_engine.{module}.write_settings_text"
            from hosted_engine.host.settings_file import write_settings_text

            monkeypatch.setattr(path, self.watched(write_settings_text))


@pytest.mark.usefixtures("checks_here")
@pytest.mark.parametrize("kind", ["create", "join"])
def test_deployment_that_was_cut_off_anywhere_is_finished_by_the_same_again(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hosted_engine.deploy.steps._CHUNK_SIZE", 16 << 20)
    cut = 0
    while True:
        folder = tmp_path / f"{cut}"
        folder.mkdir()
        desk = Desk(folder, store() if kind == "create" else joinable())
        given = desk.creating() if kind == "create" else desk.joining()
        with pytest.MonkeyPatch.context() as patch:
            mortal = Mortal(cut)
            mortal.seize(desk.scene, patch)
            try:
                desk.deploy(answers_file=given)
            except (KilledError, CommandError):  # the one that joins is on a thread of its own
                assert mortal.dead
            if not mortal.dead:
                break
        assert desk.deploy(answers_file=given) == 0, cut
        assert survey(desk.scene.volume, PARTS).kind is AreaKind.CLUSTER
        host_id = 1 if kind == "create" else 2
        assert desk.settings().host_id == host_id
        assert desk.scene.slot(host_id).hostname == "h9"
        assert desk.scene.lockspace.member == host_id
        assert (folder / "answers.yaml").exists()
        cut += 1
    assert cut >= (10 if kind == "create" else 5)


def test_the_group_of_the_socket_is_passed_on_and_written_only_where_there_is_one(
    tmp_path: Path,
) -> None:
    file = tmp_path / "host.yaml"
    write_host_settings(str(file), HostSettings(1, "h1", PARTS))
    assert "socket_group" not in file.read_text()  # a program from before it would refuse it
    assert "host" not in next_answers(HostSettings(1, "h1", PARTS))
    settings = HostSettings(1, "h1", PARTS, socket_group="kvm")
    write_host_settings(str(file), settings)
    assert read_host_settings(str(file)) == settings
    given = next_answers(settings)
    assert given["host"] == {"socket_group": "kvm"}
    answers = parse_answers({**given, "storage": {"path": PATH}}, "answers.yaml")
    assert local_settings(answers, PARTS).socket_group == "kvm"


def test_so_are_the_users_who_may_command(tmp_path: Path) -> None:
    file = tmp_path / "host.yaml"
    write_host_settings(str(file), HostSettings(1, "h1", PARTS))
    assert "command_users" not in file.read_text()
    settings = HostSettings(1, "h1", PARTS, socket_group="kvm", command_users=("ops", "vdsm"))
    write_host_settings(str(file), settings)
    assert read_host_settings(str(file)) == settings
    given = next_answers(settings)
    assert given["host"] == {"socket_group": "kvm", "command_users": ["ops", "vdsm"]}
    assert write_next_answers(str(tmp_path / "next.yaml"), settings)
    answers = read_answers(str(tmp_path / "next.yaml"))
    assert local_settings(answers, PARTS).command_users == ("ops", "vdsm")


def test_users_of_the_answers_may_stand_in_any_order() -> None:
    settings = HostSettings(1, "h1", PARTS, command_users=("ops", "vdsm"))
    named: list[Any] = [{"command_users": ["vdsm", "ops", "vdsm"]}, {"command_users": ["vdsm"]}]
    same, other = (
        parse_answers({"storage": {"path": PATH}, "host": host}, "answers.yaml") for host in named
    )
    assert _unlike_host(same, settings) == []
    assert _unlike_host(other, settings) == [
        "host.command_users: ['vdsm'] (host.yaml has ['ops', 'vdsm'])"
    ]


def test_users_that_are_none_are_refused_in_the_answers() -> None:
    with pytest.raises(CommandError) as caught:
        parse_answers(
            {"storage": {"path": PATH}, "host": {"command_users": ["vdsm", 36]}}, "answers.yaml"
        )
    assert caught.value.message == (
        "answers.yaml: host: command_users[1]: 36 is refused; allowed: the name of a user of this "
        "host, such as vdsm"
    )
