# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""New interpreters that run one of our modules, wherever this one has found them.

``python -m MODULE`` finds what is installed into that Python's own folders. A distribution's
package keeps our modules in a private folder, which only the commands know: they put it on their
path. So the folder is handed on in the words of the new interpreter's command.
"""

from __future__ import annotations

import sys

_ROOT = __file__.rpartition("/world/")[0]
# As `-m` does it, beside the folder: `sys.argv` and `__main__` are the module's own. The folder
# goes first, since our packages' names are generic; where it is in the path already, nothing
# changes.
_RUN = (
    "import runpy, sys; root, module = sys.argv[1:3]; del sys.argv[1:3]; "
    "root in sys.path or sys.path.insert(0, root); "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def module_command(module: str, *arguments: str, isolated: bool = False) -> tuple[str, ...]:
    """The words that run `module` of ours in a new interpreter.

    `isolated`: neither the environment nor the folder that it is started in adds to what it imports
    (``python -I``).
    """
    flags = ("-I",) if isolated else ()
    return (sys.executable, *flags, "-c", _RUN, _ROOT, module, *arguments)
