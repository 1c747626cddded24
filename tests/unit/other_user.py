# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Asking the broker as another user of this host, in a process of that user's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOBODY = 65534

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="root alone can be somebody else")

# With the standard library alone: another user need not be able to read this repository. The
# system's, where there is one: what runs the tests may lie where others may not go.
_SYSTEM = shutil.which("python3", path="/usr/bin")
PYTHON = (_SYSTEM or getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-c")
ASK = """
import json, socket, sys
path, method, target, body = sys.argv[1:]
sock = socket.socket(socket.AF_UNIX)
sock.settimeout(20)
try:
    sock.connect(path)
except OSError as error:
    print(json.dumps([error.errno, None]))
    raise SystemExit
head = f"{method} {target} HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: {len(body)}\\r\\n"
sock.sendall(f"{head}Connection: close\\r\\n\\r\\n{body}".encode())
answer = b""
while chunk := sock.recv(65536):
    answer += chunk
head, _, body = answer.partition(b"\\r\\n\\r\\n")
print(json.dumps([int(head.split()[1]), body.decode()]))
"""

# All is imported before it becomes that user, who need not be able to read this repository.
SET_MAINTENANCE = """
import os, sys
from ovirt_hosted_engine_ha.client.client import HAClient
from ovirt_hosted_engine_ha.lib.exceptions import RequestError
mode, on, user, group = sys.argv[1], sys.argv[2] == "True", int(sys.argv[3]), int(sys.argv[4])
os.setgroups([group])
os.setgid(user)
os.setuid(user)
try:
    HAClient().set_maintenance_mode(getattr(HAClient.MaintenanceMode, mode), on, timeout=60)
    print("done")
except RequestError as error:
    print("RequestError", error.status, error)
"""

# What the host daemon that reports to the engine asks for, and what a set-up tool looks at.
READ = """
import os, sys
from ovirt_hosted_engine_ha.client.client import HAClient
user, group, further = int(sys.argv[1]), int(sys.argv[2]), [int(one) for one in sys.argv[3:]]
os.setgroups(further)
os.setgid(group)
os.setuid(user)
client = HAClient()
print(client.is_deployed(), client.get_local_host_id())
for ask in (
    lambda: sorted(client.get_all_stats(timeout=5)),
    lambda: sorted(client.get_all_host_stats()),
    lambda: client.get_local_host_score(),
    lambda: client.get_shared_config("timing.tick_s", "ha"),
):
    try:
        print(ask())
    except Exception as error:
        print(type(error).__name__, getattr(error, "errno", ""), error)
"""

# All of ours that is needed is imported before, for the same reason.
COMMAND = """
import os, sys
from hosted_engine import notification
from hosted_engine.main import main
from hosted_engine.vm import maintenance
from ha_broker.api import trial
user, group = int(sys.argv[1]), int(sys.argv[2])
os.setgroups([group])
os.setgid(user)
os.setuid(user)
raise SystemExit(main(sys.argv[3:]))
"""


def as_command(path: str, group: int, *arguments: str) -> tuple[int, str]:
    """Exit code and words of ``hosted-engine`` for the user nobody, with this further group.

    The host is deployed, as far as that user can see.
    """
    settings = Path(path).parent / "host.yaml"
    settings.write_text("host_id: 1\n")
    settings.chmod(0o644)
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, str(NOBODY), str(group), *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
            "HE_BROKER_SOCKET": path,
            "HE_SETTINGS": str(settings),
        },
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def as_user(
    path: str, method: str, target: str, body: str = "", groups: tuple[int, ...] = ()
) -> tuple[int, Any]:
    """What the user nobody, in these groups, gets: HTTP status and body; else errno and None."""
    done = subprocess.run(
        [*PYTHON, ASK, path, method, target, body],
        user=NOBODY,
        group=NOBODY,
        extra_groups=list(groups),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    status, text = json.loads(done.stdout)
    return status, text


def as_compat_client(path: str, mode: str, on: bool, group: int) -> str:
    """What becomes of the compatibility package's `set_maintenance_mode` for the user nobody.

    ``done``, or the refusal with its HTTP status. `group` is a further group of that user.
    """
    return _as_compat_client(SET_MAINTENANCE, path, mode, str(on), str(NOBODY), str(group))


def read_as_compat_client(path: str, group: int, *further: int) -> list[str]:
    """What that package's client reads for the user nobody of `group`, and of further groups."""
    words = (str(NOBODY), str(group), *map(str, further))
    return _as_compat_client(READ, path, *words).splitlines()


def _as_compat_client(program: str, path: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *words],
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'compat'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "HE_BROKER_SOCKET": path,
        },
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()
