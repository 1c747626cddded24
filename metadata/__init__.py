"""What all hosts must agree on: records, wire format, layout, settings.

This package is pure: no clock, no I/O, no logging, no environment.
"""
