# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""One suite for the fakes and for the real storage and sanlock: so fakes can be trusted."""
