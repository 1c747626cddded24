# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The one port to the world: protocols in `ports`, their real adapters beside it.

Both daemons reach clock, storage, lockspace, libvirt, network and processes only through
these protocols, so a cycle can be driven step by step, without a thread or a sleep.
Threads live here and nowhere else.
"""
