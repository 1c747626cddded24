# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Read by the commands that must run on a fresh Debian: goes to the checkout's root, and installs
# Python where there is none.
here=$(readlink -f "$0")
cd "$(dirname "$here")/.."
if ! command -v /usr/bin/python3 >/dev/null; then
    [ "$(id -u)" = 0 ] || { echo "${here#"$PWD/"}: python3 is missing; run it with sudo" >&2; exit 1; }
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends python3 >/dev/null
fi
