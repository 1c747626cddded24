"""Settings: what may be set, its units and bounds, and how it is read."""
