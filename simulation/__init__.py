# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Whole hosts in virtual time: the real agents and brokers over a simulated world.

Serves ``hosted-engine --simulate``, the scenarios and the random search. Nothing in here is
imported by the daemons.
"""
