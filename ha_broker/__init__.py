"""The broker: watches, reads and writes the shared storage, and never decides."""
