# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What happened to the cluster, told once: found by comparing what was with what is. Pure."""
