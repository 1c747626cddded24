"""``--vm-status``: the picture of the cluster, from the broker or from the volume."""
