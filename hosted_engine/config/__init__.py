"""The configuration that all hosts share: get, set, edit, history, roll back."""
