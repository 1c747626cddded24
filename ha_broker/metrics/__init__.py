# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""What Prometheus is told: one text, made when it is asked for; and its service over TCP.

Nothing else of the program needs any of it, and nothing here waits for the cycle.
"""
