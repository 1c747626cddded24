# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The measuring command works; what it measures is never a test."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.bench import scale
from tests.bench.figures import UPSTREAM_CYCLE_MS, Figure, median_ms, table
from tests.bench.scale_page import PICTURE, Growth, Year, write
from tests.bench.scale_world import SHARE_CHANGED, scale_host
from tests.contract.places import direct_io_directory

KEYS = {
    "decode_first_us", "decode_same_us", "decode_unchanged_us",
    "broker_tick_3_ms", "broker_tick_250_ms", "broker_tick_2000_ms", "broker_tick_2000_5pct_ms",
    "agent_tick_2000_quiet_ms", "agent_tick_2000_ms", "exchange_quiet_ms", "daemons_tick_3_ms",
    "version_ms", "status_json_3_ms", "status_json_2000_ms", "status_text_200_ms", "scrape_200_ms",
}  # fmt: skip

FIGURES = (
    Figure("within", 1.0, key="a", bound=2.0, floor=0.1234),
    Figure("over", 123.4, "us", bound=2.0, upstream=300.0),
    Figure("without a bound", 0.5),
)


def test_every_key_is_measured_once() -> None:
    source = Path(str(scale.__file__)).read_text()
    found = re.findall(r'key="(\w+_[um]s)"', source) + re.findall(r'"us", "(\w+_us)"', source)
    found += [
        f"status_json_{hosts}_ms" for hosts in (3, 2000) if "status_json_{hosts}_ms" in source
    ]
    found += scale.BROKER_KEYS.values()
    found += re.findall(r'"(daemons_tick_\w+_ms)"', source)
    assert sorted(found) == sorted(KEYS)


def test_the_table_says_what_is_over() -> None:
    lines = table(FIGURES)
    assert [line.split()[0] for line in lines[1:4]] == ["within", "over", "without"]
    assert [line.endswith("(over)") for line in lines[1:4]] == [False, True, False]
    assert lines[1].split()[-4:] == ["1", "2", "0.123", "-"]


def test_a_page_with_its_picture(tmp_path: Path) -> None:
    ours = {3: 6.0, 250: 54.0, 2000: 534.0}
    growth = Growth(ours, {hosts: ms / 20 for hosts, ms in ours.items()})
    write(tmp_path / "cost.md", FIGURES, growth, {3: Year(10.0, 20_000)}, 1.5)
    page = (tmp_path / "cost.md").read_text()
    assert "Over its bound (bold): over." in page
    assert "| over | us | **123** | 2 |  | 300 |" in page
    assert "load when the run began: 1.5" in page
    # 10 ms each 5 s are 2 ms a second: 63,072 s in 365 days.
    assert "| 3 | 63,072 | 0.20% | 0.126 | 0.004 |" in page
    assert f"]({PICTURE})" in page
    picture = ElementTree.fromstring((tmp_path / PICTURE).read_bytes())
    texts = [element.text for element in picture.iter() if element.tag.endswith("text")]
    assert {"ours", "floor in Python", "ovirt-hosted-engine-ha 2.5.2", "hosts"} <= set(texts)
    titles = [element for element in picture.iter() if element.tag.endswith("title")]
    assert len(titles) == 2 * len(ours) + len(UPSTREAM_CYCLE_MS)


@pytest.mark.parametrize("arguments", [["no-such"], ["--write", "x.md", "decode"]])
def test_wrong_arguments_are_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        scale.main(arguments)
    assert ended.value.code == 2
    assert re.search(r"no-such: no such group|name none", capsys.readouterr().err)


def test_a_short_work_is_done_often_enough_to_be_seen() -> None:
    assert 0 < median_ms(lambda: None) < 1


def test_a_small_world_settles_down_and_costs_something() -> None:
    with direct_io_directory() as directory, scale_host(directory / "w", 41) as host:
        hosts = host.broker.mailbox.snapshot().hosts
        before = {view.host_id: view.record for view in hosts}
        cost = host.cost_of_a_tick(lambda: host.write_share(0))
        changed = [
            view.host_id
            for view in host.broker.mailbox.snapshot().hosts
            if view.record != before[view.host_id]
        ]
        assert len(changed) == round(41 * SHARE_CHANGED) + 1  # and this host itself
        assert min(cost.broker_ms, cost.exchange_ms, cost.agent_ms) > 0
        assert host.store.bytes_read > 41 * 4096
