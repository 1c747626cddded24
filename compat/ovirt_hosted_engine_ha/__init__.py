# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""hosted-engine-ha under the module names that existing callers import."""

import sys
from importlib.util import find_spec

# A distribution's package keeps what these names lead to apart from Python's own folders, since
# its top names are generic. Behind all others, so that nothing of the caller's is hidden.
if find_spec("hosted_engine") is None:
    sys.path.append("/usr/share/hosted-engine-ha")
