"""sanlock: membership, the engine's lease, and who else uses this host's id."""
