"""The lab's one error type."""


class LabError(Exception):
    """What a verb could not do, as one line for the person who asked."""
