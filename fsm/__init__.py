"""The decision: one table of rows, walked by one pure function.

No clock, I/O, logging, randomness or environment in this package: time is a number in the
observation, and everything to do comes out in a `Decision`.
"""
