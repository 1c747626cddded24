"""The lab of the level `lab`."""

from tests.lab.conftest import built_lab, lab

__all__ = ["built_lab", "lab"]
