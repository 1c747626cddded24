# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""This host's users and groups, by name.

Each call may take as long as the directory service behind it does.
"""

from __future__ import annotations

import grp
import os
import pwd
from typing import Optional

from metadata.error_words import reason, shown
from world.ports.errors import WorldError


def group_id(name: str) -> Optional[int]:
    """The number of the group `name`; None: this host has none of that name.

    Raises WorldError.
    """
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None
    except OSError as error:
        raise _not_looked(f"group {shown(name)}", error) from None


def user_id(name: str) -> Optional[int]:
    """The number of the user `name`; None: this host has none of that name.

    Raises WorldError.
    """
    user = _user(name)
    return None if user is None else user.pw_uid


def is_member(name: str, gid: int) -> bool:
    """Is the user `name` in the group, as their own one or as a further one?

    False for a user that there is none of. Raises WorldError.
    """
    user = _user(name)
    try:
        return user is not None and gid in os.getgrouplist(name, user.pw_gid)
    except OSError as error:
        raise _not_looked(f"the groups of user {shown(name)}", error) from None


def _user(name: str) -> Optional[pwd.struct_passwd]:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
    except OSError as error:
        raise _not_looked(f"user {shown(name)}", error) from None


def _not_looked(whom: str, error: OSError) -> WorldError:
    return WorldError(f"look for {whom}", reason(error))
