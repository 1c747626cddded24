"""The lab of the level `lab`."""

from tests.lab.conftest import built_lab, lab
from tests.lab.test_shutdown import stopping

__all__ = ["built_lab", "lab", "stopping"]
