# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""sanlock as a command asks it that ends in time, whatever the storage does."""

from __future__ import annotations

from typing import Optional

from hosted_engine.host.storage_deadline import with_storage
from world.ports.sanlock import LeaseOwner
from world.storage.sanlock_lockspace import SanlockLockspace


class PatientLockspace(SanlockLockspace):
    """Reads the lease in a process of its own: who waits for storage in the kernel can't exit."""

    def lease_owner(self) -> Optional[LeaseOwner]:
        """As `Lockspace.lease_owner`; raises CommandError, too, when the storage hangs."""
        return with_storage(SanlockLockspace(self._parts).lease_owner)
