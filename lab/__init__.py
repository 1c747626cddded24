"""Real hosts on one machine: systemd, sanlock, libvirt, qemu, a LAN and a small SAN.

The lab shares no code with the product. It judges the product from outside, so a mistake made
there cannot be repeated here unseen.
"""
