"""The groups of this host's users."""

from __future__ import annotations

import grp
from typing import Optional

from world.ports.errors import WorldError


def group_id(name: str) -> Optional[int]:
    """The number of the group `name`; None: this host has none of that name.

    May take as long as the directory service behind it does. Raises WorldError.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
    except OSError as error:
        raise WorldError(f"look for group {name!r}", str(error.strerror or error)) from None
