"""What this host saw of the cluster, kept for people over restarts: it decides nothing."""
