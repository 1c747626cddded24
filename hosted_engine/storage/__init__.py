"""The shared storage's own commands, and leaving the cluster."""
