"""Tests; a package, so that they share the fakes."""
