# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Real hosts on one machine: systemd, sanlock, libvirt, qemu, a LAN and a small SAN.

The lab shares no code with the product. It judges the product from outside, so a mistake made
there cannot be repeated here unseen.
"""
