# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The agent: collects, decides by `fsm.step`, publishes, acts; and the `hosted-engine` command."""
