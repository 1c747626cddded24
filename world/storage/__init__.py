"""Real adapters: the shared volume, and sanlock upon it."""
