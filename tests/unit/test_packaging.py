# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What goes into the packages, where, and what the builder refuses; nothing is built here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from product_packages import debian, files, install_page, main, sources, tools
from product_packages.errors import PackagingError
from product_packages.files import LAYOUTS, Installed, compat_files, product_files, write_files
from product_packages.rpm import spec_text
from product_packages.snapshot import differences, snapshot
from product_packages.sources import EPOCH_VARIABLE, Sources, read_sources
from product_packages.version import product_version, write_version

from tests.unit.plugin_bench import install

ROOT = Path(__file__).resolve().parents[2]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
SITE = "usr/lib/python3/dist-packages"


@pytest.fixture(scope="module")
def debian_files() -> dict[str, Installed]:
    return {file.path: file for file in product_files(ROOT, LAYOUTS["debian"], "1.2.3")}


# --- the list of files ------------------------------------------------------------------------


def test_the_page_says_of_each_package_of_el_where_its_name_was_read() -> None:
    spec = (ROOT / "packaging/rpm/hosted-engine-ha.spec").read_text(encoding="utf-8")
    named = re.findall(r"^(?:Requires|Recommends)(?:\(\w+\))?:\s+([\w-]+)$", spec, re.MULTILINE)
    assert len(named) > 8
    page = (ROOT / "docs/install.md").read_text(encoding="utf-8").partition("## EL 9 and 10")[2]
    table = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    assert [name for name in named if f"`{name}`" not in table] == []


def test_the_packages_are_those_of_the_wheel() -> None:
    (line,) = re.findall(r"^include = \[(.*)\]$", PROJECT, re.MULTILINE)
    assert tuple(re.findall(r'"(\w+)\*"', line)) == files.PACKAGES


def test_the_commands_are_those_of_the_wheel() -> None:
    section = PROJECT.split("[project.scripts]\n")[1].split("\n\n")[0]
    commands = dict(re.findall(r'^(\S+) = "(\S+):main"$', section, re.MULTILINE))
    del commands["hosted-engine-fsm"]  # for those who change the table
    assert commands == files.COMMANDS


def test_every_module_is_there_and_nothing_of_tests_and_lab(
    debian_files: dict[str, Installed],
) -> None:
    modules = {path for path in debian_files if path.startswith(files.MODULES)}
    wanted = {
        f"{files.MODULES}/{file.relative_to(ROOT)}"
        for package in files.PACKAGES
        for file in (ROOT / package).rglob("*.py")
    }
    assert modules == {*wanted, f"{files.MODULES}/hosted_engine_ha-1.2.3.dist-info/METADATA"}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_everything_in_systemd_and_in_completion_goes_somewhere(layout: str) -> None:
    found = product_files(ROOT, LAYOUTS[layout], "1.2.3")
    contents = {file.content for file in found}
    for folder in ("systemd", "docs/man", "packaging/man", "docs/completion"):
        for file in (path for path in (ROOT / folder).rglob("*") if path.is_file()):
            assert file.read_bytes() in contents, file
    paths = [file.path for file in found]
    assert paths == sorted(set(paths))


def test_files_lie_where_each_program_looks(debian_files: dict[str, Installed]) -> None:
    for path in (
        "usr/lib/systemd/system/ha-agent.service",
        "usr/lib/systemd/system/libvirt-guests.service.d/hosted-engine-ha.conf",
        "usr/lib/tmpfiles.d/hosted-engine-ha.conf",
        "usr/lib/sysusers.d/hosted-engine-ha.conf",
        "usr/share/man/man8/hosted-engine.8",
        "usr/share/man/man8/ha-broker.8",
        "usr/share/bash-completion/completions/hosted-engine-cleanup",
        "usr/share/zsh/vendor-completions/_hosted-engine",
        "usr/share/fish/vendor_completions.d/hosted-engine.fish",
        "etc/needrestart/conf.d/hosted-engine-ha.conf",
        "usr/share/doc/hosted-engine-ha/docs/monitoring/alerts.yml",
    ):
        assert path in debian_files


def test_users_of_sysusers_would_be_made(tmp_path: Path) -> None:
    for name in ("x.sysusers.conf", "x.service", "x.target", "y.service.d/z.conf"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert {file.path for file in files._systemd(tmp_path)} == {
        "usr/lib/sysusers.d/x.conf",
        *(f"usr/lib/systemd/system/{name}" for name in ("x.service", "x.target")),
        "usr/lib/systemd/system/y.service.d/z.conf",
    }


def test_the_units_call_what_is_installed(debian_files: dict[str, Installed]) -> None:
    called = {
        path.lstrip("/")
        for unit in (ROOT / "systemd").glob("*.service")
        for path in re.findall(r"^Exec\w+=(/usr/lib/\S+)", unit.read_text(), re.MULTILINE)
    }
    assert called == {f"{files.PROGRAMS}/ha-agent", f"{files.PROGRAMS}/ha-broker"}
    assert (
        "ExecStart=/usr/bin/hosted-engine "
        in (ROOT / "systemd/hosted-engine-storage.service").read_text()
    )
    assert called <= {path for path, file in debian_files.items() if file.mode == 0o755}


def test_links_of_the_documents_hold(debian_files: dict[str, Installed]) -> None:
    """Between documents that are installed; those to the sources lead nowhere, and are few."""
    top = "usr/share/doc/hosted-engine-ha"
    broken = set()
    for path, file in debian_files.items():
        if path.startswith(top) and path.endswith(".md"):
            for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", file.content.decode()):
                target = os.path.normpath(f"{Path(path).parent}/{link}")
                if not any(one == target or one.startswith(f"{target}/") for one in debian_files):
                    broken.add(os.path.relpath(target, top))
    assert {link for link in broken if link.startswith("docs/") and "docs/man" not in link} <= {
        "docs/completion"
    }


# --- installed below a folder -----------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both packages, their launchers led to the folder instead of /."""
    root = tmp_path_factory.mktemp("root")
    version = product_version(ROOT)
    write_files(product_files(ROOT, LAYOUTS["debian"], version), root)
    write_files(compat_files(ROOT, SITE, version), root)
    for name in files.COMMANDS:
        launcher = root / files.PROGRAMS / name
        text = launcher.read_text().replace('"/usr', f'"{root}/usr')
        launcher.write_text(text.replace("#!/usr/bin/python3", f"#!{sys.executable}"))
    return root


@pytest.mark.parametrize("name", sorted(files.COMMANDS))
def test_each_command_starts_and_knows_its_version(installed: Path, name: str) -> None:
    option = "--help" if name == "hosted-engine-cleanup" else "--version"
    done = subprocess.run(
        [str(installed / "usr/bin" / name), option],
        capture_output=True, text=True, check=False, cwd="/", env={"PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    if option == "--version":
        assert done.stdout.split()[-1] == product_version(ROOT)


def test_what_the_caller_has_in_his_environment_is_not_imported(
    installed: Path, tmp_path: Path
) -> None:
    for name in ("argparse.py", "metadata.py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')\n")
    done = subprocess.run(
        [str(installed / "usr/bin/hosted-engine"), "--version"],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


PLUGIN = """
import os, sys
sys.path.insert(0, sys.argv[1])
from world.host.plugin_supervisor import PluginChild
child = PluginChild("function", {})
print(child.measure(60.0))
child.close()
"""


def test_a_plug_in_in_a_folder_of_its_own_is_found(installed: Path, tmp_path: Path) -> None:
    """By docs/plugins.md: PYTHONPATH is for the process of the plug-in alone."""
    install(tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLUGIN, str(installed / files.MODULES)],
        capture_output=True, text=True, check=False, cwd="/",
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.stderr == ""
    assert "0.5" in done.stdout


def test_compat_finds_the_private_modules_behind_all_others(
    installed: Path, tmp_path: Path
) -> None:
    """Its folder is taken for / here; `metadata` is a module of the caller's own."""
    package = installed / SITE / "ovirt_hosted_engine_ha/__init__.py"
    text = package.read_text().replace('"/usr', f'"{installed}/usr')
    program = (
        f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; "
        # An installation for developers would be found before anything else.
        "sys.meta_path[:] = [one for one in sys.meta_path if 'editable' not in repr(one)]; "
        f"exec({text!r}); print(sys.path.index('{installed}/usr/share/hosted-engine-ha'), "
        "len(sys.path))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.stderr == ""
    index, length = done.stdout.split()
    assert int(index) == int(length) - 1


def test_modes_do_not_hang_on_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_files([Installed("a/b/c", b"x"), Installed("a/d", b"x", 0o755)], tmp_path)
    finally:
        os.umask(before)
    modes = {path: (tmp_path / path).stat().st_mode & 0o777 for path in ("a", "a/b", "a/b/c")}
    assert modes == {"a": 0o755, "a/b": 0o755, "a/b/c": 0o644}
    assert (tmp_path / "a/d").stat().st_mode & 0o777 == 0o755


# --- versions and times -----------------------------------------------------------------------


def sources_with(
    folder: Path, product: str, compat: str, program: str = 'VERSION = "1.2"\n'
) -> Path:
    for name in ("compat", "metadata"):
        (folder / name).mkdir()
    (folder / "metadata/program.py").write_text(program)
    (folder / "pyproject.toml").write_text(product)
    (folder / "compat/pyproject.toml").write_text(compat)
    return folder


def test_the_checkout_has_one_version() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", product_version(ROOT))
    environments = set(ROOT.glob(".venv*"))
    before = [file for file in ROOT.rglob("*.py") if environments.isdisjoint(file.parents)]
    assert not [file for file in before if re.search(r"^__version__", file.read_text(), re.M)]


def test_a_version_is_written_to_every_place_and_nowhere_else(tmp_path: Path) -> None:
    project = '[project]\nversion = "1.2"\nrequires = "1.2"\n'
    folder = sources_with(tmp_path, project, project)
    write_version(folder, "1.10")
    assert product_version(folder) == "1.10"
    assert (folder / "pyproject.toml").read_text() == project.replace('n = "1.2"', 'n = "1.10"')
    assert (folder / "metadata/program.py").read_text() == 'VERSION = "1.10"\n'


def test_the_programs_own_version_must_be_the_same(tmp_path: Path) -> None:
    project = 'version = "1.2"\n'
    folder = sources_with(tmp_path, project, project, 'VERSION = "1.3"\n')
    with pytest.raises(PackagingError, match=r"metadata/program\.py has the version 1\.3"):
        product_version(folder)


@pytest.mark.parametrize(
    ("product", "compat", "words"),
    [
        ('version = "1.2"\n', 'version = "1.3"\n', ("1.2", "1.3", "must be the same")),
        ('version = "1.2"\n', "", ("compat/pyproject.toml", "0 lines")),
        ('version = "1"\n', 'version = "1"\n', ("'1'", "allowed")),
        ('version = "1.2-rc1"\n', 'version = "1.2"\n', ("'1.2-rc1'", "allowed")),
        ('version = "1.2"\nversion = "1.3"\n', 'version = "1.2"\n', ("2 lines",)),
    ],
)
def test_a_version_that_is_none_is_refused(
    tmp_path: Path, product: str, compat: str, words: tuple[str, ...]
) -> None:
    with pytest.raises(PackagingError) as caught:
        product_version(sources_with(tmp_path, product, compat))
    assert [word for word in words if word not in str(caught.value)] == []


def test_sources_without_their_files_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match=r"pyproject\.toml: No such file"):
        product_version(tmp_path)


def test_the_time_is_the_commits_or_what_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(EPOCH_VARIABLE, "86400")
    assert read_sources(ROOT).epoch_s == 86400
    assert read_sources(ROOT).mail_date.startswith("Fri, 02 Jan 1970")


@pytest.mark.parametrize("value", ["", "now", "-1", "1.5", "99999999999"])
def test_a_time_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(EPOCH_VARIABLE, value)
    with pytest.raises(PackagingError, match="allowed: seconds since 1970"):
        read_sources(ROOT)


def test_sources_that_tell_no_time_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(EPOCH_VARIABLE, raising=False)
    folder = sources_with(tmp_path, 'version = "1.2"\n', 'version = "1.2"\n')
    with pytest.raises(PackagingError, match=f"no checkout of git.*{EPOCH_VARIABLE}"):
        read_sources(folder)


# --- the copy ---------------------------------------------------------------------------------


def small(tmp_path: Path) -> Sources:
    folder = tmp_path / "checkout"
    for name in ("tests/a.py", "fsm/__pycache__/x.pyc", "fsm/x.py", "dist/y.deb", "packaging/run"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "packaging/run").chmod(0o700)
    (folder / "fsm/x.py").chmod(0o600)
    return Sources(folder, "1.2", 1000)


def test_two_copies_are_the_same_whatever_the_checkouts_modes_and_times(tmp_path: Path) -> None:
    origin = small(tmp_path)
    packed = []
    for name in ("one", "another"):
        copy = origin.copy_to(tmp_path / name)
        origin.pack(copy, tmp_path / f"{name}.tar.gz")
        packed.append((tmp_path / f"{name}.tar.gz").read_bytes())
        os.utime(origin.root / "fsm/x.py", (5, 5))
        (origin.root / "fsm/x.py").chmod(0o640)
    assert packed[0] == packed[1]
    with tarfile.open(tmp_path / "one.tar.gz") as archive:
        found = {entry.name: (entry.mode, entry.mtime, entry.uid) for entry in archive}
    assert found == {
        "hosted-engine-ha-1.2": (0o755, 1000, 0),
        "hosted-engine-ha-1.2/fsm": (0o755, 1000, 0),
        "hosted-engine-ha-1.2/fsm/x.py": (0o644, 1000, 0),
        "hosted-engine-ha-1.2/packaging": (0o755, 1000, 0),
        "hosted-engine-ha-1.2/packaging/run": (0o755, 1000, 0),
    }


# --- what packages tell -----------------------------------------------------------------------


def test_changelog_and_spec_have_version_and_time() -> None:
    origin = Sources(ROOT, "1.2.3", 86400)
    assert debian.changelog(origin).startswith("hosted-engine-ha (1.2.3) unstable;")
    assert "  Fri, 02 Jan 1970 00:00:00 " in debian.changelog(origin)
    spec = (ROOT / "packaging/rpm/hosted-engine-ha.spec").read_text()
    text = spec_text(spec, origin)
    assert "\nVersion:        1.2.3\n" in text
    assert "* Fri Jan 02 1970 " in text
    assert "@" not in text.replace("hosted-engine-ha@packages", "")


def test_what_the_rpm_brings_along_has_one_version_and_a_hash() -> None:
    spec = (ROOT / "packaging/rpm/hosted-engine-ha.spec").read_text()
    in_spec = dict(re.findall(r"^%global (\w+) ([\d.]+)$", spec, re.MULTILINE))
    bundled = (ROOT / "packaging/rpm/bundled.txt").read_text()
    pinned = dict(re.findall(r"^([\w-]+)==(\S+) --hash=sha256:[0-9a-f]{64}  # ", bundled, re.M))
    assert {name.replace("-", "_"): version for name, version in pinned.items()} == in_spec
    for name in in_spec:
        assert f"bundled(python3-{name.replace('_', '-')}) = %{{{name}}}" in spec


def test_packages_bring_every_library_that_the_wheel_asks_for() -> None:
    wanted = re.findall(r'^    "([A-Za-z-]+)', PROJECT.split("dependencies = [")[1].split("]")[0],
                        re.MULTILINE)  # fmt: skip
    control = (ROOT / "packaging/debian/control").read_text()
    spec = (ROOT / "packaging/rpm/hosted-engine-ha.spec").read_text()
    assert len(wanted) == 5
    assert "python3-sanlock," in control
    # EL 10 has no binding: what is asked for there is the library, which EL 9 has as well.
    assert "\nRequires:       sanlock-lib\n" in spec
    assert "\nRecommends:     python3-sanlock\n" in spec
    for name in wanted:
        short = {"libvirt-python": "libvirt", "PyYAML": "yaml"}.get(name, name)
        assert f"python3-{short}," in control
        assert f"python3-{'pyyaml' if short == 'yaml' else short}" in spec


def test_every_file_of_the_rpm_is_listed() -> None:
    spec = (ROOT / "packaging/rpm/hosted-engine-ha.spec").read_text()
    for units in (ROOT / "systemd").glob("*.service"):
        assert f"%{{_unitdir}}/{units.name}\n" in spec
    for kind in ("sysusers", "tmpfiles"):
        for file in (ROOT / "systemd").glob(f"*.{kind}.conf"):
            name = file.name.replace(f".{kind}", "").replace(files.NAME, "%{name}")
            assert f"%{{_{kind}dir}}/{name}\n" in spec
    for name in files.COMMANDS:
        assert f"%{{_bindir}}/{name}\n" in spec
    for page in [*(ROOT / "docs/man").iterdir(), *(ROOT / "packaging/man").iterdir()]:
        assert f"%{{_mandir}}/man8/{page.name}*\n" in spec


@pytest.mark.parametrize("daemon", ["ha_agent", "ha_broker"])
def test_the_daemons_pages_have_all_their_options(daemon: str) -> None:
    command = [sys.executable, "-m", f"{daemon}.main", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    options = set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", done.stdout, re.MULTILINE))
    page = (ROOT / f"packaging/man/{daemon.replace('_', '-')}.8").read_text().replace("\\-", "-")
    section = page.split(".SH OPTIONS")[1].split(".SH ")[0]
    assert set(re.findall(r"\\fB(--[a-z-]+)\\fR", section)) == options
    assert len(options) > 3


# --- docs/install.md --------------------------------------------------------------------------

PAGE = (ROOT / "docs/install.md").read_text(encoding="utf-8")


def test_every_command_of_the_page_says_who_runs_it() -> None:
    el = install_page.commands(install_page.section(PAGE, "EL 9 and 10"))
    assert {line.marks for line in el} == {("not run",)}
    lines = [line for line in install_page.commands(PAGE) if line not in el]
    assert len(lines) > 15
    run_by_nobody = {line.command.split()[0] for line in lines if "not run" in line.marks}
    # Those of EL are the same line.
    assert run_by_nobody <= {"echo", "systemctl", "mount"}
    for line in lines:
        assert len(line.marks) == 1 or "not run" not in line.marks


def test_from_the_package_to_the_engine_it_is_twenty_lines() -> None:
    parts = [install_page.section(PAGE, f"On {which} host") for which in ("every", "the first")]
    assert sum(len(install_page.commands(part)) for part in parts) <= 20


def test_the_answers_of_the_page_are_answers() -> None:
    import yaml

    from hosted_engine.deploy.answers import parse_answers

    text = install_page.document(install_page.section(PAGE, "On the first host"), "answers.yaml")
    answers = parse_answers(yaml.safe_load(text), "answers.yaml")
    assert answers.storage["path"] == "/srv/san/leases"


@pytest.mark.parametrize("line", ["reboot", "reboot # perhaps", "reboot  # check, perhaps"])
def test_a_command_that_nobody_answers_for_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="who runs it"):
        install_page.commands(f"```sh\n{line}\n```\n")


# --- what is refused --------------------------------------------------------------------------


def test_a_missing_tool_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name.startswith("dh") else name)
    with pytest.raises(PackagingError) as caught:
        tools.require("dpkg-buildpackage", "dh", "dh_python3")
    assert str(caught.value) == (
        "missing: dh, dh_python3; on Debian: apt-get install debhelper dh-python"
    )


def test_a_failed_tool_is_told_with_its_words() -> None:
    with pytest.raises(PackagingError, match="ended with 3:\nno room"):
        tools.run(["sh", "-c", "echo no room; exit 3"])


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        ({"a": b"1", "b": b"2"}, {"a": b"1", "b": b"3"}, "b: two builds differ"),
        ({"a": b"1"}, {"a": b"1", "b": b"3"}, "two builds made"),
    ],
)
def test_two_builds_that_differ_are_refused(
    tmp_path: Path, first: dict[str, bytes], second: dict[str, bytes], words: str
) -> None:
    made = []
    for folder, contents in ((tmp_path / "1", first), (tmp_path / "2", second)):
        folder.mkdir()
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        made.append(sorted(folder.iterdir()))
    main.refuse_differences(made[0], made[0])
    with pytest.raises(PackagingError, match=words):
        main.refuse_differences(*made)


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The versions that were built, by a stand-in for Debian's tools."""
    found: list[str] = []

    def build(sources: Sources, work: Path) -> list[Path]:
        found.append(sources.version)
        package = work / f"x_{sources.version}.deb"
        package.write_text(sources.version)
        return [package]

    monkeypatch.setitem(main.KINDS, "deb", build)
    return found


def test_what_was_built_from_the_same_files_is_kept(tmp_path: Path, built: list[str]) -> None:
    output, now = tmp_path / "out", read_sources_at(5)
    assert main.kept("deb", now, output) == []
    (package,) = main.build("deb", now, output, twice=False)
    assert main.kept("deb", read_sources_at(6), output) == [package]
    later = now.next_version(tmp_path)
    assert (later.version, main.kept("deb", later, output)) == (f"{now.version}.1", [])
    (newer,) = main.build("deb", later, output, twice=False)
    assert [path.name for path in output.glob("*.deb")] == [newer.name]
    newer.unlink()
    assert main.kept("deb", later, output) == []
    assert built == [now.version, later.version]


def read_sources_at(epoch_s: int) -> Sources:
    return Sources(ROOT, product_version(ROOT), epoch_s)


def test_an_unknown_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main.main(["snap"])
    assert "'snap'" in capsys.readouterr().err


def test_the_check_refuses_a_real_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    from product_packages import check

    monkeypatch.setattr(
        check.subprocess, "run", lambda words, **_: subprocess.CompletedProcess(words, 1)
    )
    with pytest.raises(PackagingError, match="container only"):
        check.refuse_outside_of_a_container()


# --- traces -----------------------------------------------------------------------------------


def test_each_kind_of_trace_is_seen(tmp_path: Path) -> None:
    for name in ("etc/conf", "usr/a", "usr/b", "var/lib/dpkg/status", "etc/changed"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    before = snapshot(tmp_path)
    assert differences(before, snapshot(tmp_path)) == []
    (tmp_path / "usr/a").chmod(0o600)
    (tmp_path / "usr/b").unlink()
    (tmp_path / "etc/changed").write_text("y")
    (tmp_path / "etc/dangling").symlink_to("/nowhere")
    (tmp_path / "var/lib/dpkg/status").write_text("more")
    for folder in ("run/hosted-engine-ha", "run/other", "usr/share/hosted-engine-ha/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
    seen = [line.split(":")[0] for line in differences(before, snapshot(tmp_path))]
    assert seen == [
        *("/etc/changed", "/etc/dangling", "/run", "/run/hosted-engine-ha", "/usr/a", "/usr/b"),
        *("/usr/share", "/usr/share/hosted-engine-ha", "/usr/share/hosted-engine-ha/__pycache__"),
    ]


def test_only_the_parts_that_are_asked_for_are_looked_at(tmp_path: Path) -> None:
    for name in ("etc/conf", "usr/a", "work/b"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text("x")
    assert set(snapshot(tmp_path, ["etc", "usr", "none"])) == {"etc/conf", "usr/a"}


def test_git_of_another_owner_or_none_is_no_stumbling_block(tmp_path: Path) -> None:
    with pytest.raises(PackagingError, match="no repository"):
        sources._git(tmp_path, "log")


def test_here_takes_no_release(capsys: pytest.CaptureFixture[str]) -> None:
    from product_packages import check

    with pytest.raises(SystemExit, match="2"):
        check.main(["--here", "trixie"])
    assert "--here takes no release, and 'trixie' was given" in capsys.readouterr().err
