# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""A real Prometheus looks at real hosts."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from tests.lab.prometheus import running, wait_for
from tests.lab.verbs import LabVerbs
from tests.unit.monitoring_files import dashboard_queries

SCRAPED_S = 30.0
ALERT_S = 60.0
# What a cluster at rest has nothing of, or what needs some minutes of history.
MAY_BE_EMPTY = ("penalty", "transitions", "failing", "rate(", "increase(", "changes(")


def test_an_engine_that_falls_ill_is_told_and_so_is_its_recovery(
    lab: LabVerbs, tmp_path: Path
) -> None:
    hosts = lab.status()["hosts"]
    first = next(iter(hosts))
    targets = [urlsplit(one["metrics_url"]).netloc for one in hosts.values()]
    with running(tmp_path, targets) as prometheus:
        wait_for(
            "every host is scraped",
            lambda: len(prometheus.query('up{job="hosted-engine"} == 1')) == len(hosts),
            SCRAPED_S,
        )
        wait_for(
            "every host knows the healthy engine",
            lambda: len(prometheus.query("hosted_engine_healthy == 1")) == len(hosts),
            SCRAPED_S,
        )
        empty = [expr for expr, _ in dashboard_queries() if not prometheus.query(expr)]
        assert [expr for expr in empty if not any(word in expr for word in MAY_BE_EMPTY)] == []
        # Until its first scrape Prometheus rightly says that nobody watches; a rule is looked at
        # only every second, so that this may still stand for a moment.
        wait_for("nothing fires at rest", lambda: not prometheus.firing(), SCRAPED_S)

        # In global maintenance, so that nobody restarts the engine meanwhile.
        lab.on(first, "hosted-engine", "--set-maintenance", "--mode=global")
        try:
            lab("engine", "stop-service")
            wait_for("the alert", lambda: "HostedEngineUnhealthy" in prometheus.firing(), ALERT_S)
            lab("engine", "start-service")
            wait_for("its end", lambda: "HostedEngineUnhealthy" not in prometheus.firing(), ALERT_S)
            assert "HostedEngineGlobalMaintenanceForgotten" in prometheus.firing()
        finally:
            lab.attempt("engine", "start-service")
            lab.on(first, "hosted-engine", "--set-maintenance", "--mode=none")
        wait_for("nothing fires any more", lambda: not prometheus.firing(), ALERT_S)
