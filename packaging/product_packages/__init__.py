# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Builds the product's packages: see ``packaging/build --help`` and ADR 53.

Runs on Python 3.9 and later with the standard library alone, since a distribution's build runs it.
"""
