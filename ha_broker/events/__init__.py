"""What happened to the cluster, told once: found by comparing what was with what is. Pure."""
