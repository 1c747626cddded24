"""Where callers look for the constants."""
