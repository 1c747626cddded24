# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Plug-ins for tests, installed for real into a directory that the children import from."""

from __future__ import annotations

import textwrap
from pathlib import Path

GROUP = "hosted_engine_ha.monitors"

# One module with all the ways in which somebody else's code can go wrong.
MODULE = '''
import ctypes, os, signal, subprocess, sys, threading, time
from pathlib import Path

class Fine:
    def __init__(self, options):
        self.options = options
        self.asked = 0
    def measure(self):
        self.asked += 1
        return float(self.options.get("share", "0.25")), f"asked {self.asked} times"

def function(options):
    return Fine({**options, "share": "0.5"})

class Measures:
    def __init__(self, options):
        self.options = options
    def measure(self):
        return eval(self.options["result"])

class Does:
    """Executes what the option `code` says."""
    def __init__(self, options):
        exec(options.get("first", ""))
        self.code = options.get("code", "")
    def measure(self):
        exec(self.code)
        return 0, "did it"

class Tells:
    """What its process is like."""
    def __init__(self, options):
        self.file = options["file"]
    def measure(self):
        import json, resource
        told = {
            "pid": os.getpid(), "group": os.getpgid(0), "session": os.getsid(0),
            "nice": os.nice(0), "cwd": os.getcwd(), "umask": os.umask(0o077),
            "environment": sorted(os.environ), "files": len(os.listdir("/proc/self/fd")),
            "status": Path("/proc/self/status").read_text(),
            "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
            "cpu_s": resource.getrlimit(resource.RLIMIT_CPU)[0],
            "stdin": sys.stdin.read(),
        }
        Path(self.file).write_text(json.dumps(told))
        return None, "told"
'''
ENTRIES = ("Fine", "function", "Measures", "Does", "Tells")


def install(directory: Path) -> None:
    """Make the module and its entry points importable from `directory`."""
    (directory / "plugins_for_tests.py").write_text(MODULE)
    broken = "raise RuntimeError('its import fails')\n"
    (directory / "broken_plugin_for_tests.py").write_text(broken)
    information = directory / "plugins_for_tests-1.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: plugins-for-tests\nVersion: 1\n"
    )
    lines = [f"{name.lower()} = plugins_for_tests:{name}" for name in ENTRIES]
    lines += ["broken = broken_plugin_for_tests:Any", "absent = no_such_module_for_tests:Any"]
    (information / "entry_points.txt").write_text(f"[{GROUP}]\n" + "\n".join(lines) + "\n")


def code(text: str) -> dict[str, str]:
    """Options for `does`: each measurement executes this."""
    return {"code": textwrap.dedent(text)}
