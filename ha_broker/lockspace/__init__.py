# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock: membership, the engine's lease, and who else uses this host's id."""
