"""What the agent sees: the broker, libvirt and the lease, as one observation."""
