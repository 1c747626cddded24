"""Where callers look for `HAClient`."""
