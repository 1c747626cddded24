# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Who may connect to the broker's socket, and who of them may have it do something.

=================================== ==========================================================
root, and the daemons' own user     all of it
users of `command_users`            what members of the group may, and the commands that
                                    `ha_broker.api.resources` opens to them; the file's group
                                    lets them connect
members of `socket_group`           reading
everybody else                      can't connect
=================================== ==========================================================
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Optional

from ha_broker.server.name_lookup import NameLookup


class Access:
    """The rights that host.yaml gives beside root's; it gives none unless it says so.

    `group` is that of the socket, `users` those that may command. A name that is not found (yet)
    gives nobody a right.
    """

    def __init__(
        self, group: Optional[NameLookup] = None, users: Sequence[NameLookup] = ()
    ) -> None:
        self._group = group
        self._users = tuple(users)
        self._names = (*([group] if group else []), *self._users)

    @property
    def gid(self) -> Optional[int]:
        """The group whose members may connect; None: there is none, or it is not known yet."""
        return self._group.number if self._group else None

    def administers(self, uid: int) -> bool:
        """root, and the user that broker and agent run as."""
        return uid in (0, os.geteuid())

    def may_command(self, uid: int) -> bool:
        """These, and the users that the settings name."""
        return self.administers(uid) or any(uid == user.number for user in self._users)

    def look(self) -> None:
        """To be called now and then: looks for names that are not known. Never waits."""
        for name in self._names:
            name.look()

    def wait(self, timeout_s: float) -> None:
        """For the looks that are going on, all together."""
        end_s = time.monotonic() + timeout_s
        for name in self._names:
            name.wait(max(0.0, end_s - time.monotonic()))
