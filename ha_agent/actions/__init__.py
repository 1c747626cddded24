"""What the agent does: orders to libvirt."""
