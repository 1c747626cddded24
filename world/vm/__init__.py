"""Real adapters: libvirt."""
