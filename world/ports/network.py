# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The engine's page, and this host's network."""

from __future__ import annotations

from dataclasses import field
from typing import Protocol

from metadata.value_class import value_class


@value_class(frozen=True)
class HealthReading:
    """One look at the engine's health page.

    Not `known`: no look could be made (the page's name can't be resolved, the address is
    none, its certificate does not verify), or the answer is none to the question (a login is
    asked for, it points elsewhere), which says nothing about the engine. `answered`: it is not
    good, but in reach: something else than it should be was said, or a refusal. `seen`: what
    was answered, for people who look whether the settings are right.
    """

    good: bool
    detail: str
    known: bool = True
    answered: bool = False
    seen: str = field(default="", compare=False)


class HealthPage(Protocol):
    """The engine's health page."""

    def check(
        self, url: str, expected_text: str, timeout_s: float, ca_file: str = ""
    ) -> HealthReading:
        """Fetch the page; never raises: what went wrong is in `detail`.

        With `ca_file` the certificate of an HTTPS page, and the name in it, are verified.
        """


@value_class(frozen=True)
class ProbeReading:
    """One try whether the network works.

    detail  in words: which address answered, or what came of each that was asked
    """

    answered: bool
    detail: str = ""


class NetworkProbe(Protocol):
    """Tries whether the network works, once for each call.

    Each says whether there was an answer in time, and raises WorldError when nothing could be
    tried (no right to, no such name): that says nothing about the network. Of a name with several
    addresses one that answers is enough.
    """

    def ping(self, address: str, timeout_s: float) -> ProbeReading:
        """Does `address` answer an ICMP echo?"""

    def tcp(self, host: str, port: int, timeout_s: float) -> ProbeReading:
        """Does `host` accept a connection to `port`?"""

    def tls(self, host: str, port: int, timeout_s: float) -> ProbeReading:
        """Does who listens at `port` of `host` answer the beginning of TLS, or hang up?

        Not so a program that is frozen, for which the kernel accepts.
        """

    def dns(self, server: str, timeout_s: float) -> ProbeReading:
        """Does the name server answer a question over TCP?

        Whatever it answers counts, but of one on this host itself only a real answer does.
        Empty: one of those of this host's resolv.conf.
        """
