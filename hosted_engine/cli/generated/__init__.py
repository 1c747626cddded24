"""Manual pages and completion, written from the catalogue."""
