# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What this host saw of the cluster, kept for people over restarts: it decides nothing."""
