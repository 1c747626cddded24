# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The commands on the shared configuration: what they ask, tell, and leave behind."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable

import pytest
import yaml

from hosted_engine.config import get_set as config_value
from hosted_engine.config import local_settings as config_local
from hosted_engine.config.apply import Telling
from hosted_engine.config.edit import Editing, ask, edit_vm_conf, edit_with, editor
from hosted_engine.config.get_set import HE_SHARED, latest, plain_text, set_value
from hosted_engine.config.history import history_data, history_lines, roll_back
from hosted_engine.config.rollout import Rollout
from hosted_engine.errors import CommandError, NotReachedError, UsageError
from metadata.settings.parse import HostSettings, host_settings_to_data
from metadata.shared_history import decode_history
from tests.unit.config_bench import CONFIG, PARTS, WALL_S, Broker, Cluster, domain_xml
from world.ports.libvirt import DomainState

PLAIN = Telling()


@pytest.fixture(autouse=True)
def own_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("HE_SETTINGS", str(tmp_path / "host.yaml"))
    monkeypatch.setenv("HE_BROKER_SOCKET", str(tmp_path / "broker.sock"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr("hosted_engine.config.rollout.OWN_AGENT_S", 0.0)
    monkeypatch.setattr("hosted_engine.config.apply.user_name", lambda: "root")


@pytest.fixture
def cluster() -> Cluster:
    cluster = Cluster(hosts=3)
    cluster.broker.on_reread = lambda broker: cluster.has_taken_up(1)
    return cluster


def set_plain(cluster: Cluster, key: str, text: str, kind: str = HE_SHARED) -> int:
    return set_value(cluster.context(), key, kind, text, PLAIN)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(CommandError) as caught:
        call()
    return caught.value.message


# --- setting --------------------------------------------------------------------------------


def test_a_value_is_written_read_again_and_told(cluster, capsys):
    assert set_plain(cluster, "timing.tick_s", "4") == 0
    assert cluster.stored().config.settings.timing.tick_s == 4.0
    assert cluster.broker.rereads == 1
    assert capsys.readouterr().out == (
        "Version 2 of the shared configuration is written: timing.tick_s: 5.0 -> 4.0.\n"
        "Hosts that go by it already: h1; do not yet: h2, h3 (each looks once a minute).\n"
    )


def test_in_json_the_result_is_one_document(cluster, capsys):
    set_value(cluster.context(), "score.base", HE_SHARED, "3000", Telling(as_json=True))
    assert json.loads(capsys.readouterr().out) == {
        "version": 2,
        "changes": "score.base: 3400 -> 3000",
        "hosts": {"h1": True, "h2": False, "h3": False},
    }


def test_what_is_so_already_is_not_written(cluster, capsys):
    assert set_plain(cluster, "timing.tick_s", "5") == 0
    assert capsys.readouterr().out == (
        "Version 1 of the shared configuration says so already; nothing was written.\n"
    )
    assert cluster.stored().config == CONFIG
    set_value(cluster.context(), "timing.tick_s", HE_SHARED, "5", Telling(as_json=True))
    assert json.loads(capsys.readouterr().out)["changes"] == ""


def test_null_brings_the_default_back(cluster):
    set_plain(cluster, "timing.tick_s", "4")
    set_plain(cluster, "timing.tick_s", "null")
    assert cluster.stored().config.settings == CONFIG.settings
    assert "tick_s" not in cluster.stored().settings["timing"]


def test_a_mapping_sets_several_keys_of_a_section_at_once(cluster):
    cluster.set_maintenance(True)
    set_plain(cluster, "timing", "{tick_s: 8, alive_s: 50, away_s: null}")
    timing = cluster.stored().config.settings.timing
    assert (timing.tick_s, timing.alive_s, timing.io_timeout_s) == (8.0, 50.0, 2)
    assert "away_s" not in cluster.stored().settings["timing"]
    set_plain(cluster, "monitors.plugins.raid", "{points: 5}")
    set_plain(cluster, "monitors.plugins.raid", "{interval_s: 60}")
    (raid,) = cluster.stored().config.settings.monitors.plugins
    assert (raid.points, raid.interval_s) == (0, 60.0)


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        ("rules", "broker", "[stopped]"),
        ("notifications.rules", "broker", "[stopped]"),
        ("timing.tick_s", "ha", "4"),
        ("network", "ha", "{test: none}"),
        ("smtp", "broker", "{server: mail, from: a@b, to: [c@d]}"),
        ("monitors.plugins.raid.options.array", "he_shared", "md0"),
    ],
)
def test_types_of_the_tool_that_people_know(cluster, key, kind, text):
    set_plain(cluster, key, text, kind)
    assert cluster.stored().config.sequence == 2


@pytest.mark.parametrize(
    ("key", "kind", "text", "named"),
    [
        ("timing.tick_s", "broker", "4", "notifications.timing.tick_s' is no key"),
        ("engine.fqdn", "ha", "x", "allowed: timing.tick_s"),
        ("engine.fqdn", "vm_conf", "x", "no key of --type=vm_conf; allowed: vm_conf"),
        ("vm_conf", "he_shared", "<domain/>", "vm_conf takes @FILE"),
        ("timing.tick_s", "he_shared", "[1", "no YAML"),
    ],
)
def test_wrong_words_are_refused_as_such(cluster, key, kind, text, named):
    with pytest.raises(UsageError) as caught:
        set_plain(cluster, key, text, kind)
    assert named in caught.value.message


@pytest.mark.parametrize("text", ["hello", "100", "[5]", "{a: 1}", "1e400"])
def test_values_that_a_key_may_not_have_are_refused(cluster, text):
    assert "allowed: a number from 0.1 to 60" in refused(
        lambda: set_plain(cluster, "timing.tick_s", text)
    )
    assert cluster.stored().config == CONFIG


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("timing.io_timeout_s", "20"),  # with which turn_s would be too short
        ("timing.io_timeout_s", "3"),
        ("timing.io_timeout_s", "null"),
        ("timing.io_timeout_s", "long"),
        ("timing", "{tick_s: 4, io_timeout_s: 3}"),
        ("timing", "null"),
    ],
)
def test_the_io_timeout_is_refused_before_anything_else_is_said_of_it(cluster, key, text):
    cluster.set_maintenance(True)
    message = refused(lambda: set_plain(cluster, key, text))
    assert message.startswith("timing.io_timeout_s: ")
    assert "is refused, the cluster was made with 2: " in message
    assert cluster.stored().config == CONFIG


def test_an_xml_comes_from_a_file(cluster, tmp_path):
    file = tmp_path / "engine.xml"
    file.write_text(domain_xml(memory_mib=8192))
    set_plain(cluster, "vm_conf", f"@{file}")
    assert cluster.stored().config.domain_xml == domain_xml(memory_mib=8192)
    assert "can't be read" in refused(lambda: set_plain(cluster, "vm_conf", "@/no/such"))
    file.write_bytes(b"\xff\xfe")
    assert "can't be read" in refused(lambda: set_plain(cluster, "vm_conf", f"@{file}"))


def test_an_xml_that_libvirt_refuses_is_not_written(cluster, tmp_path):
    cluster.libvirt.reader.refuses_why = "unsupported configuration: no emulator"
    file = tmp_path / "engine.xml"
    file.write_text(domain_xml(memory_mib=8192))
    text = refused(lambda: set_plain(cluster, "vm_conf", f"@{file}"))
    assert "no emulator" in text
    assert text.endswith("nothing was written")
    assert cluster.stored().config == CONFIG


FOREIGN = domain_xml().replace(
    "<devices>",
    """<devices>
<interface type='bridge'><source bridge='br-nowhere'/></interface>
<interface type='network'><source network='vdsm-net'/></interface>
<disk><target dev='vdb'/><source file='/no/such/disk.img'/></disk>
<graphics type='spice' tlsPort='5901'/>
<lease><lockspace>sd-1</lockspace><key>71d3</key><target path='/no/such/lease'/></lease>""",
)


def set_xml(cluster: Cluster, file: Path, xml: str) -> None:
    file.write_text(xml)
    set_plain(cluster, "vm_conf", f"@{file}")


@pytest.mark.parametrize("way", ["set", "edit"])
def test_what_this_host_has_not_is_told_and_refuses_nothing(cluster, tmp_path, capsys, way):
    cluster.probes.missing = {"/no/such/disk.img", "/no/such/lease"}
    if way == "edit":
        assert edit_vm_conf(cluster.context(), editing(FOREIGN), PLAIN) == 0
    else:
        set_xml(cluster, tmp_path / "engine.xml", FOREIGN)
    assert cluster.stored().config.domain_xml == FOREIGN
    told = capsys.readouterr().err
    assert "this host could not start the engine from the new domain XML: " in told
    for part in (
        "no bridge br-nowhere (",
        "no libvirt network vdsm-net (",
        "no path /no/such/disk.img (the disk vdb)",
        "no path /no/such/lease (the lease 71d3 of the lockspace sd-1)",
        "its spice display asks for TLS",
        "in which sanlock has to be on each host",
        "what to do: the disk vdb: connect its storage",
    ):
        assert part in told


def test_what_is_refused_names_all_that_is_missing_too(cluster, tmp_path):
    cluster.probes.missing = {"/no/such/disk.img"}
    cluster.libvirt.reader.refuses_why = "no such machine"
    text = refused(lambda: set_xml(cluster, tmp_path / "engine.xml", FOREIGN))
    assert "libvirt refuses the XML: no such machine" in text
    assert "no path /no/such/disk.img (the disk vdb)" in text
    assert cluster.stored().config == CONFIG


def test_an_emulator_that_is_not_here_is_refused(cluster, tmp_path):
    cluster.probes.missing = {"/usr/libexec/qemu-kvm"}
    xml = domain_xml().replace("<devices>", "<devices><emulator>/usr/libexec/qemu-kvm</emulator>")
    text = refused(lambda: set_xml(cluster, tmp_path / "engine.xml", xml))
    assert "no path /usr/libexec/qemu-kvm (the emulator)" in text
    assert "take <emulator> out" in text
    assert cluster.stored().config == CONFIG


def test_a_libvirt_that_is_gone_judges_nothing(cluster, tmp_path):
    cluster.libvirt.disappear()
    text = refused(lambda: set_xml(cluster, tmp_path / "engine.xml", domain_xml(memory_mib=8192)))
    assert "libvirt has not looked at it: " in text and text.endswith("nothing was written")
    assert cluster.stored().config == CONFIG


# --- the health page ------------------------------------------------------------------------


def test_a_health_page_that_is_not_good_is_refused_at_work(cluster):
    cluster.page.set(False, "connection refused")
    text = refused(lambda: set_plain(cluster, "engine.health_url", "http://engine/typo"))
    assert "would be http://engine/typo, and it is not good (connection refused)" in text
    assert "stop the engine after 300 s" in text
    assert cluster.stored().config == CONFIG
    cluster.set_maintenance(True)
    set_plain(cluster, "engine.health_url", "http://engine/typo")
    assert cluster.page.calls == ["http://engine/typo"]


def test_a_health_page_that_is_good_is_taken_and_other_changes_do_not_ask_it(cluster):
    set_plain(cluster, "engine.fqdn", "engine.example.org")
    set_plain(cluster, "score.base", "3000")
    assert cluster.page.calls == ["http://engine.example.org/ovirt-engine/services/health"]


# --- who has it -----------------------------------------------------------------------------


def test_waiting_ends_when_all_have_it(cluster, capsys):
    cluster.broker.stopped = (3,)
    cluster.broker.on_reread = lambda broker: cluster.has_taken_up(1, 2)
    set_value(cluster.context(), "score.base", HE_SHARED, "3000", Telling(wait_s=1.0))
    assert capsys.readouterr().out.endswith("All hosts go by it: h1, h2.\n")


def test_waiting_in_vain_is_told_with_its_own_exit_code(cluster, capsys):
    with pytest.raises(NotReachedError, match="waiting for h2, h3") as caught:
        set_value(cluster.context(), "score.base", HE_SHARED, "3000", Telling(wait_s=0.0))
    assert caught.value.exit_code == 3
    assert cluster.stored().config.sequence == 2


def test_without_a_broker_it_is_written_all_the_same(cluster, capsys):
    cluster.broker.gone = True
    assert set_plain(cluster, "score.base", "3000") == 0
    assert "Which hosts have it is not known: can't ask for the status: there is no broker" in (
        capsys.readouterr().out
    )
    assert cluster.stored().config.settings.score.base == 3000


def test_a_host_that_appears_after_the_change_has_it():
    broker = Broker({1: 100})
    spread = Rollout(broker)  # type: ignore[arg-type]
    broker.refreshed_s[2] = 7
    spread.look()
    assert spread.hosts == {"h1": False, "h2": True}


def test_a_host_that_has_only_just_taken_up_an_earlier_change_has_not_this_one():
    broker = Broker({1: 100, 2: 100}, versions={1: 5, 2: 5})
    spread = Rollout(broker)  # type: ignore[arg-type]
    spread.written(7)
    broker.refreshed_s.update({1: 101, 2: 101})
    broker.versions.update({1: 6, 2: 7})
    spread.look()
    assert spread.hosts == {"h1": False, "h2": True}


# --- getting --------------------------------------------------------------------------------


@pytest.fixture
def deployed(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    settings = HostSettings(1, "h1", PARTS, gateway="192.0.2.1")
    monkeypatch.setattr(config_value, "host_settings", lambda: settings)
    monkeypatch.setattr(config_value, "deployed_host", lambda _settings: cluster.world())
    text = "# Ours.\n" + yaml.safe_dump(host_settings_to_data(settings)) + "# The end.\n"
    Path(os.environ["HE_SETTINGS"]).write_text(text)
    return cluster


@pytest.mark.parametrize(
    ("key", "kind", "text"),
    [
        ("timing.tick_s", "he_shared", "5.0"),
        ("engine.health_text", "he_shared", "DB Up"),
        ("engine.guest_agent", "he_shared", "false"),
        ("rules", "broker", "- all"),
        ("notifications.smtp", "he_shared", "null"),
        ("vm_conf", "he_shared", CONFIG.domain_xml),
        ("vm_conf", "vm_conf", CONFIG.domain_xml),
        ("gateway", "he_local", "192.0.2.1"),
        ("storage.path", "he_local", PARTS.lockspace.path),
    ],
)
def test_values_are_shown_as_scripts_want_them(deployed, key, kind, text):
    assert plain_text(config_value.get(key, kind)) == text


def test_all_of_it_and_sections(deployed):
    everything = yaml.safe_load(plain_text(config_value.get("all", HE_SHARED)))
    assert everything["timing"] == config_value.get("timing", HE_SHARED)
    assert set(everything) >= {"engine", "timing", "score", "network", "notifications"}
    assert config_value.get("all", "he_local")["host_id"] == 1


def test_what_is_not_there_is_told(deployed):
    assert "is not set" in refused(lambda: config_value.get("notifications.smtp.server", HE_SHARED))
    assert "is no key" in refused(lambda: config_value.get("nonsense", HE_SHARED))
    assert "allowed: host_id" in refused(lambda: config_value.get("nonsense", "he_local"))


def test_without_storage_and_broker_the_storages_error_is_told(cluster):
    world = cluster.world()
    world.store.fail(5)
    assert "Input/output error" in refused(lambda: latest(world))


# --- this host's own settings ---------------------------------------------------------------


LATER = ("socket_group", "command_users", "migration_address")


def test_a_local_value_is_replaced_and_the_file_before_is_kept(deployed, capsys, tmp_path):
    before = (tmp_path / "host.yaml").read_text()
    assert config_local.set_value("gateway", "192.0.2.9", as_json=False) == 0
    after = (tmp_path / "host.yaml").read_text()
    kept = {**yaml.safe_load(before), "gateway": "192.0.2.9"}
    assert yaml.safe_load(after) == {key: value for key, value in kept.items() if key not in LATER}
    assert after.startswith("# Ours.\n# The end.\n")
    assert (tmp_path / "host.yaml.previous").read_text() == before
    assert "systemctl restart ha-broker ha-agent" in capsys.readouterr().out
    assert config_local.set_value("metrics", "{listen: '127.0.0.1:9177'}", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["restart"]


@pytest.mark.parametrize(
    ("key", "text", "held", "empty"),
    [
        ("socket_group", "kvm", "kvm", ""),
        ("command_users", "[vdsm, ops]", ["vdsm", "ops"], "[]"),
        ("migration_address", "192.0.2.7", "192.0.2.7", ""),
    ],
)
@pytest.mark.parametrize("taken_away", [True, False])
def test_later_keys_stand_in_the_file_only_where_they_are_set(
    deployed, tmp_path, key, text, held, empty, taken_away
):
    """A program from before these keys would refuse them."""
    assert config_local.set_value(key, text, as_json=False) == 0
    assert yaml.safe_load((tmp_path / "host.yaml").read_text())[key] == held
    assert config_local.set_value(key, "null" if taken_away else empty, as_json=False) == 0
    assert not set(LATER) & set(yaml.safe_load((tmp_path / "host.yaml").read_text()))


@pytest.mark.parametrize(
    ("key", "text", "named"),
    [
        ("host_id", "2", "deploy the host again"),
        ("command_users", "vdsm", "command_users: 'vdsm' is refused; allowed: a list"),
        ("command_users", "[36]", "command_users[0]: 36 is refused; allowed: the name of a user"),
        ("storage.path", "/other", "deploy the host again"),
        ("nonsense", "2", "allowed: host_id"),
        ("gateway", "not an address", "gateway: 'not an address' is refused"),
        ("gateway", "[1", "no YAML"),
        ("metrics.nonsense", "1", "metrics.nonsense: unknown key"),
    ],
)
def test_local_values_that_may_not_be_leave_the_file_alone(deployed, tmp_path, key, text, named):
    before = (tmp_path / "host.yaml").read_text()
    assert named in refused(lambda: config_local.set_value(key, text, as_json=False))
    assert (tmp_path / "host.yaml").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["host.yaml"]


# --- editing --------------------------------------------------------------------------------


def writing(xml: str) -> Callable[[str], None]:
    return lambda path: Path(path).write_text(xml) and None


def editing(xml: str, agrees: bool = True) -> Editing:
    return Editing(writing(xml), lambda _question: agrees)


def kept(message: str) -> Path:
    path = Path(message.partition("is kept in ")[2].split()[0])
    assert f"--set-shared-config vm_conf @{path}" in message
    return path


def test_an_edit_is_shown_asked_for_and_written(cluster, capsys, tmp_path):
    questions: list[str] = []

    def agrees(question: str) -> bool:
        questions.append(question)
        return True

    edited = domain_xml(memory_mib=8192)
    assert edit_vm_conf(cluster.context(), Editing(writing(edited), agrees), PLAIN) == 0
    assert cluster.stored().config.domain_xml == edited
    assert questions == ["Write this as version 2? [y/N] "]
    shown = capsys.readouterr().out
    assert "-<memory unit='MiB'>4096</memory>\n+<memory unit='MiB'>8192</memory>\n" in shown
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("xml", [CONFIG.domain_xml, CONFIG.domain_xml.rstrip("\n")])
def test_an_unchanged_xml_is_not_written(cluster, capsys, tmp_path, xml):
    assert edit_vm_conf(cluster.context(), editing(xml), PLAIN) == 0
    assert "unchanged; nothing was written" in capsys.readouterr().out
    assert cluster.stored().config == CONFIG
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("xml", "named"),
    [
        (domain_xml().replace("<lease>", "<lost>").replace("</lease>", "</lost>"), "has no lease"),
        ("<domain", "can't be read"),
        ("", "can't be read"),
        (domain_xml("Other"), "set global maintenance first"),
    ],
)
def test_a_refused_edit_is_kept(cluster, xml, named):
    text = refused(lambda: edit_vm_conf(cluster.context(), editing(xml), PLAIN))
    assert named in text
    assert kept(text).read_text() == xml
    assert stat.S_IMODE(kept(text).stat().st_mode) == 0o600
    assert cluster.stored().config == CONFIG


def test_an_edit_that_libvirt_or_its_writer_refuses_is_kept(cluster):
    edited = domain_xml(memory_mib=8192)
    text = refused(lambda: edit_vm_conf(cluster.context(), editing(edited, agrees=False), PLAIN))
    assert "not written, as you wish" in text
    assert kept(text).read_text() == edited
    cluster.libvirt.reader.refuses_why = "no such machine"
    assert kept(refused(lambda: edit_vm_conf(cluster.context(), editing(edited), PLAIN))).exists()
    assert cluster.stored().config == CONFIG


def test_an_edit_that_was_overtaken_is_kept_and_told_by_whom(cluster, capsys):
    edited = domain_xml(memory_mib=8192)

    def edit(path: str) -> None:
        writing(edited)(path)
        set_value(cluster.context(2), "score.base", HE_SHARED, "3000", PLAIN)

    text = refused(
        lambda: edit_vm_conf(cluster.context(), Editing(edit, lambda _question: True), PLAIN)
    )
    assert "version 2 of the shared configuration was written meanwhile by root on h2" in text
    assert kept(text).read_text() == edited
    set_plain(cluster, "vm_conf", f"@{kept(text)}")
    config = cluster.stored().config
    assert (config.domain_xml, config.settings.score.base) == (edited, 3000)


def test_a_written_edit_that_not_all_have_in_time_leaves_no_file(cluster, tmp_path):
    with pytest.raises(NotReachedError):
        edit_vm_conf(cluster.context(), editing(domain_xml(memory_mib=8192)), Telling(wait_s=0.0))
    assert list(tmp_path.iterdir()) == []
    assert cluster.stored().config.sequence == 2


def test_another_name_changes_the_settings_too_when_the_engine_is_down(cluster):
    cluster.set_maintenance(True)
    assert edit_vm_conf(cluster.context(), editing(domain_xml("Other")), PLAIN) == 0
    assert cluster.stored().config.settings.engine.domain_name == "Other"


def test_an_editor_that_fails_or_is_not_there_is_told(cluster, tmp_path):
    failing = edit_with(["sh", "-c", 'echo "<x/>" > "$0"; exit 3'])
    text = refused(
        lambda: edit_vm_conf(cluster.context(), Editing(failing, lambda _q: True), PLAIN)
    )
    assert "the editor sh ended with 3; nothing was written" in text
    assert kept(text).read_text() == "<x/>\n"
    missing = edit_with(["/no/such/editor", "-f"])
    text = refused(
        lambda: edit_vm_conf(cluster.context(), Editing(missing, lambda _q: True), PLAIN)
    )
    assert "the editor /no/such/editor can't be started" in text
    assert "is kept" not in text  # it was not even touched


def test_ctrl_c_in_an_editor_loses_nothing(cluster):
    def edit(path: str) -> None:
        writing("<half-done")(path)
        raise KeyboardInterrupt

    text = refused(lambda: edit_vm_conf(cluster.context(), Editing(edit, lambda _q: True), PLAIN))
    assert text.startswith("interrupted; nothing was written")
    assert kept(text).read_text() == "<half-done"


@pytest.mark.parametrize(
    ("visual", "usual", "words"),
    [
        ("", "", ["vi"]),
        ("", "nano -w", ["nano", "-w"]),
        ("emacs -nw", "nano", ["emacs", "-nw"]),
        ("", "'/opt/my editor'", ["/opt/my editor"]),
    ],
)
def test_the_editor_is_the_usual_one(monkeypatch, visual, usual, words):
    monkeypatch.setenv("VISUAL", visual)
    monkeypatch.setenv("EDITOR", usual)
    assert editor() == words


@pytest.mark.parametrize("line", ["'unfinished", "  "])
def test_an_editor_that_is_none_is_told(monkeypatch, line):
    monkeypatch.setenv("VISUAL", line)
    assert "VISUAL" in refused(editor)


@pytest.mark.parametrize(
    ("answer", "yes"), [("y\n", True), ("Yes\n", True), ("\n", False), ("no\n", False), ("", False)]
)
def test_only_a_yes_is_a_yes(monkeypatch, capsys, answer, yes):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    assert ask("Write? ") is yes


# --- history and going back -----------------------------------------------------------------


def test_the_history_tells_who_did_what(cluster, capsys):
    set_plain(cluster, "score.base", "3000")
    set_value(cluster.context(2), "timing.tick_s", HE_SHARED, "4", PLAIN)
    assert history_lines(cluster.stored()) == [
        "Version 3 (in use): 2023-11-14 22:13:20 +0000, root on h2: timing.tick_s: 5.0 -> 4.0",
        "Version 2: 2023-11-14 22:13:20 +0000, root on h1: score.base: 3400 -> 3000",
        "Version 1: written without a note, as --deploy does",
    ]
    data = history_data(cluster.stored())
    assert data["damage"] == ""
    assert [one["version"] for one in data["versions"]] == [3, 2, 1]
    assert data["versions"][0] == {
        "version": 3,
        "current": True,
        "at_s": WALL_S,
        "at": "2023-11-14 22:13:20 +0000",
        "user": "root",
        "host": "h2",
        "changes": "timing.tick_s: 5.0 -> 4.0",
    }
    assert data["versions"][2]["user"] is None


def test_going_back_is_a_new_version(cluster, tmp_path):
    file = tmp_path / "engine.xml"
    file.write_text(domain_xml(memory_mib=8192))
    set_plain(cluster, "vm_conf", f"@{file}")
    set_plain(cluster, "score.base", "3000")
    assert roll_back(cluster.context(2), 1, PLAIN) == 0
    config = cluster.stored().config
    assert replace(config, sequence=1) == CONFIG
    assert config.sequence == 4
    note = decode_history(cluster.stored().history).note
    assert note is not None
    assert note.what == "back to version 1: score.base: 3000 -> 3400; vm_conf: +1 -1 lines"


def xml_file(tmp_path, memory_mib: int) -> str:
    path = tmp_path / f"engine-{memory_mib}.xml"
    path.write_text(domain_xml(memory_mib=memory_mib))
    return f"@{path}"


@pytest.mark.parametrize("memory_mib", [2048, 8192])
def test_a_vm_that_runs_goes_on_as_it_was_started_whatever_is_written(
    cluster, tmp_path, capsys, memory_mib
):
    """Whoever goes back from a bad version while the VM runs from it must start it anew."""
    cluster.broker.engine_on = 2
    set_plain(cluster, "vm_conf", xml_file(tmp_path, memory_mib))
    assert "The engine's VM on h2 was started from an earlier version" in capsys.readouterr().out
    assert roll_back(cluster.context(), 1, PLAIN) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert told.startswith("The engine's VM on h2 was started from an earlier version, and goes on")
    for command in ("--mode=global", "--vm-shutdown --wait", "--vm-start --wait", "--mode=none"):
        assert command in told


@pytest.mark.parametrize("state", [DomainState.RUNNING, DomainState.PAUSED])
def test_libvirts_word_on_this_host_goes_first(cluster, tmp_path, capsys, state):
    cluster.broker.engine_on, cluster.broker.domain_here = 2, state
    set_plain(cluster, "vm_conf", xml_file(tmp_path, 2048))
    assert "The engine's VM on h1 was started from an earlier" in capsys.readouterr().out


def test_without_a_vm_the_next_start_takes_it(cluster, tmp_path, capsys):
    cluster.broker.engine_on = 1  # an old record of this host, whose libvirt knows better
    set_plain(cluster, "vm_conf", xml_file(tmp_path, 2048))
    assert capsys.readouterr().out.endswith("The engine's VM gets it at its next start.\n")


def test_where_the_broker_is_gone_no_more_is_said_than_is_known(cluster, tmp_path, capsys):
    cluster.broker.gone = True
    set_plain(cluster, "vm_conf", xml_file(tmp_path, 2048))
    assert "if it runs, goes on as it was started" in capsys.readouterr().out


def test_a_change_of_settings_alone_says_nothing_of_the_vm(cluster, capsys):
    cluster.broker.engine_on = 2
    set_plain(cluster, "score.base", "3000")
    assert roll_back(cluster.context(), 1, PLAIN) == 0
    assert "The engine's VM" not in capsys.readouterr().out


def test_going_back_to_what_is_so_writes_nothing(cluster, capsys):
    assert roll_back(cluster.context(), 1, PLAIN) == 0
    assert "Version 1, the one in use, says the same as version 1" in capsys.readouterr().out
    assert cluster.stored().config.sequence == 1


def test_versions_that_are_not_kept_are_named(cluster):
    set_plain(cluster, "score.base", "3000")
    assert "kept are: 1 (version 2 is in use)" in refused(
        lambda: roll_back(cluster.context(), 9, PLAIN)
    )


def test_the_rules_hold_for_going_back_too(cluster):
    set_plain(cluster, "engine.health_url", "http://engine/one")
    set_plain(cluster, "engine.health_url", "http://engine/two")
    cluster.page.set(False, "connection refused")
    assert "it is not good" in refused(lambda: roll_back(cluster.context(), 2, PLAIN))


def test_a_damaged_history_is_told_and_begun_anew(cluster, capsys):
    set_plain(cluster, "score.base", "3000")
    cluster.put_config(replace(cluster.stored(), history="rubbish"))
    assert "The history is damaged" in history_lines(cluster.stored())[-1]
    set_plain(cluster, "score.base", "3100")
    history = decode_history(cluster.stored().history)
    assert (history.damage, [one.sequence for one in history.versions]) == ("", [2])


def test_a_version_of_a_newer_program_is_refused_by_its_keys(cluster):
    set_plain(cluster, "score.base", "3000")
    stored = cluster.stored()
    history: Any = decode_history(stored.history)
    newer = replace(history.versions[0], settings={**stored.settings, "colour": "blue"})
    from metadata.shared_history import encode_history

    cluster.put_config(replace(stored, history=encode_history(replace(history, versions=(newer,)))))
    assert "colour: unknown key" in refused(lambda: roll_back(cluster.context(), 1, PLAIN))
