"""Builds the product's packages: see ``packaging/build --help`` and ADR 53.

Runs on Python 3.9 and later with the standard library alone, since a distribution's build runs it.
"""
