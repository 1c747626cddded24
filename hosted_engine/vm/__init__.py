"""The engine's VM and maintenance, by hand."""
