#!/bin/bash
# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Runs a command beside a libvirtd and a sanlock daemon of its own, in namespaces of its own:
#   unshare --pid --mount --uts --ipc --fork --kill-child libvirt_box.sh DIRECTORY COMMAND...
# bash is process 1 here and reaps: libvirt waits long for its probes where nobody does.
set -eu
box=$1
shift
mount --make-rprivate /
mount -t proc proc /proc
cp -a /etc "$box/etc"
mkdir "$box/lib" "$box/cache" "$box/log"
mount --bind "$box/etc" /etc
mount -t tmpfs tmpfs /run
mkdir -p /run/sanlock /run/libvirt
for part in lib cache log; do
    mkdir -p "/var/$part/libvirt"
    mount --bind "$box/$part" "/var/$part/libvirt"
done
hostname he-libvirt-box
cat > /etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
remember_owner = 0
lock_manager = "sanlock"
END
cat > /etc/libvirt/qemu-sanlock.conf <<'END'
auto_disk_leases = 0
require_lease_for_disks = 0
host_id = 1
user = "root"
group = "root"
END
cat > /etc/libvirt/libvirtd.conf <<'END'
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_group = "root"
host_uuid = "11111111-2222-3333-4444-555555555555"
END
rm -f /etc/libvirt/qemu/networks/autostart/* /etc/libvirt/qemu/autostart/*
SANLOCK_PRIVILEGED=0 sanlock daemon -D -w 0 -h 0 -l 0 -U root -G root -e h1 > "$box/sanlock.log" 2>&1 &
set +e
HE_LIBVIRT_BOX="$box" "$@"
exit $?
