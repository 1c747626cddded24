# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Roots of Debian releases: what is told where none can be had, and when one is made anew."""

from pathlib import Path

import pytest

from lab import debian_roots
from lab.errors import LabError
from lab.settings import Places
from lab.state import Lab

FAILS = '#!/bin/sh\ntouch "$4"\necho "E: apt-get update failed" >&2\nexit 1\n'
MAKES = '#!/bin/sh\nmkdir "$4"\necho "$@" >"$4/made-by"\n'


@pytest.fixture
def mmdebstrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in; its fourth word is what it makes."""
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("HE_DEBIAN_MIRROR", "http://mirror.invalid/debian")
    return program


def _become(program: Path, text: str) -> None:
    program.write_text(text)
    program.chmod(0o755)


def test_a_registry_that_is_not_reached_is_named_and_nothing_half_is_left(
    tmp_path: Path, mmdebstrap: Path
) -> None:
    _become(mmdebstrap, FAILS)
    with pytest.raises(LabError) as caught:
        debian_roots.make("trixie", tmp_path / "root", "minbase", ["dbus"], tmp_path / "log")
    told = str(caught.value)
    assert told.startswith("no root of trixie: http://mirror.invalid/debian is not reached")
    assert f"(all that mmdebstrap says: {tmp_path / 'log'})" in told
    assert "E: apt-get update failed" in (tmp_path / "log").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "log"]


def test_a_root_is_kept_until_other_packages_are_wanted(
    tmp_path: Path, mmdebstrap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _become(mmdebstrap, MAKES)
    monkeypatch.setattr(debian_roots.install, "install_packages", lambda *_: None)
    places = Places(tmp_path / "state")
    places.cache.mkdir(parents=True)
    made_by = places.release_root("trixie") / "made-by"
    debian_roots.prepare(places, ["trixie", "trixie"])
    assert "trixie" in made_by.read_text()
    made_by.write_text("kept")
    debian_roots.prepare(places, ["trixie"])
    assert made_by.read_text() == "kept"
    monkeypatch.setattr(debian_roots, "HOST_PACKAGES", ("dbus", "more"))
    debian_roots.prepare(places, ["trixie"])
    assert "--include=dbus,more" in made_by.read_text()


def test_hosts_have_the_releases_in_turn() -> None:
    hosts = ("h1", "h2", "h3")
    mixed = Lab(hosts, 2, "tcg", releases=("bookworm", "trixie"))
    assert [mixed.release_of(host) for host in hosts] == ["bookworm", "trixie", "bookworm"]
    assert Lab(hosts, 2, "tcg").release_of("h1") is None
