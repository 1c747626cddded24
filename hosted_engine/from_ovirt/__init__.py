# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""``--import-ovirt``: what oVirt's own hosted-engine tools have left, as answers and domain XML."""
