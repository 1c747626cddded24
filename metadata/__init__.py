# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What all hosts must agree on: records, wire format, layout, settings.

This package is pure: no clock, no I/O, no logging, no environment.
"""
