#!/bin/bash
# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# A second libvirtd beside the box's own, as on another host (but for sanlock, which is the same):
#   unshare --mount --uts second_libvirtd.sh DIRECTORY
# Its socket is DIRECTORY/run/libvirt-sock, its process id stands in DIRECTORY/libvirtd.pid.
set -eu
two=$1
hostname he-libvirt-two
mount --make-rprivate /
mkdir -p "$two/run" "$two/state"
cp -a /etc/libvirt "$two/etc"
mount --bind "$two/etc" /etc/libvirt
sed -i 's/11111111/22222222/' /etc/libvirt/libvirtd.conf
echo "unix_sock_dir = \"$two/run\"" >> /etc/libvirt/libvirtd.conf
for part in lib cache log; do
    mkdir "$two/$part"
    mount --bind "$two/$part" "/var/$part/libvirt"
done
mount --bind "$two/state" /run/libvirt
exec libvirtd --pid-file "$two/libvirtd.pid"
