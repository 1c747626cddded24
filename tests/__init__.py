"""Tests; a package, so that they share their helpers."""
