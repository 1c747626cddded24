# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Model checker: every situation that two or three hosts can come into, by the real table.

``python -m tests.fsm.model --hosts 2|3 [--faults N]``; what is abstract in it and what it
can't see: ``docs/adr/0010-what-the-model-checker-sees.md``.
"""
