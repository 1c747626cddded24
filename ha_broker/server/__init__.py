"""The broker's socket: who asks gets the snapshot, and what is asked is kept."""
