"""The shared slots: read, kept, and this host's own and the global one written."""
