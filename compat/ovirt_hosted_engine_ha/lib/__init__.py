"""Where callers look for the exceptions."""
