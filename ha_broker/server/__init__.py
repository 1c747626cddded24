# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The broker's socket: who asks gets the snapshot, and what is asked is kept."""
