# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The hypervisor under the engine's own domain name, which the shared configuration tells."""

from __future__ import annotations

from typing import Callable, Optional

from world.ports.errors import HypervisorError, HypervisorGoneError
from world.ports.libvirt import Domain, Hypervisor, MigrationOptions, MigrationResult

_NO_NAME = "the engine VM's name is in the shared configuration, which has not been read yet"


class EngineDomain:
    """A `Hypervisor` that knows nothing until `set_name` was called.

    Until then the domain is not "absent" but unknown: looking for a domain under a guessed
    name would tell all hosts that the engine is not here.
    """

    def __init__(self, make: Callable[[str], Hypervisor]) -> None:
        self._make = make
        self._name = ""
        self._hypervisor: Optional[Hypervisor] = None
        self._callbacks: list[Callable[[], None]] = []

    def set_name(self, name: str) -> None:
        """Look for domain `name` from now on; cheap when that is so already."""
        if name == self._name:
            return
        hypervisor = self._make(name)
        for callback in self._callbacks:
            hypervisor.on_change(callback)
        self._name, self._hypervisor = name, hypervisor
        for callback in self._callbacks:
            callback()

    def domain(self) -> Domain:
        """`Hypervisor.domain`; HypervisorGoneError while there is no name."""
        if self._hypervisor is None:
            raise HypervisorGoneError("look for the engine's domain", _NO_NAME)
        return self._hypervisor.domain()

    def start(
        self, domain_xml: str, before_run: Callable[[Optional[int]], None] = lambda _pid: None
    ) -> Domain:
        """`Hypervisor.start`."""
        return self._named().start(domain_xml, before_run)

    def shutdown(self) -> None:
        """`Hypervisor.shutdown`."""
        self._named().shutdown()

    def resume_after_migration(self) -> None:
        """`Hypervisor.resume_after_migration`."""
        self._named().resume_after_migration()

    def destroy(self) -> None:
        """`Hypervisor.destroy`."""
        self._named().destroy()

    def migrate(self, address: str, options: MigrationOptions) -> MigrationResult:
        """`Hypervisor.migrate`."""
        return self._named().migrate(address, options)

    def abort_migration(self) -> None:
        """`Hypervisor.abort_migration`."""
        self._named().abort_migration()

    def on_change(self, callback: Callable[[], None]) -> None:
        """`Hypervisor.on_change`, whatever the name is or will be."""
        self._callbacks.append(callback)
        if self._hypervisor is not None:
            self._hypervisor.on_change(callback)

    def _named(self) -> Hypervisor:
        if self._hypervisor is None:
            raise HypervisorError("act on the engine's domain", _NO_NAME)
        return self._hypervisor
