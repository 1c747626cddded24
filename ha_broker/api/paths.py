# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Where the socket, the settings and the state are; each moved by one environment variable.

Asked at each call, not at import: a test or a second instance sets its own environment. `pathlib`
is loaded where it is used: the status, which monitoring asks for all the time, needs none of it.
"""

from __future__ import annotations

import os

SOCKET_VARIABLE = "HE_BROKER_SOCKET"
SETTINGS_VARIABLE = "HE_SETTINGS"
STATE_VARIABLE = "HE_STATE_DIR"


def broker_socket() -> str:
    """Path of the broker's unix socket."""
    return os.environ.get(SOCKET_VARIABLE) or "/run/hosted-engine-ha/broker.sock"


def agent_memory_file() -> str:
    """What the agent has learnt during this boot of the machine."""
    from pathlib import Path  # noqa: PLC0415

    return str(Path(broker_socket()).with_name("agent-memory.json"))


def host_settings_file() -> str:
    """Path of this host's own settings (YAML); missing means: not deployed."""
    return os.environ.get(SETTINGS_VARIABLE) or "/etc/hosted-engine-ha/host.yaml"


def secrets_dir() -> str:
    """Directory below which the shared settings may name files with secrets: host.yaml's own."""
    from pathlib import Path  # noqa: PLC0415

    return str(Path(host_settings_file()).parent)


def state_dir() -> str:
    """Directory of what must survive a restart of the services."""
    return os.environ.get(STATE_VARIABLE) or "/var/lib/hosted-engine-ha"


def history_dir() -> str:
    """Directory of the agent's history."""
    return f"{state_dir()}/history"
