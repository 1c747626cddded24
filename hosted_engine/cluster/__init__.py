"""What a command knows of the whole cluster, from the broker or the storage."""
