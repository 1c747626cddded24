# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The exceptions of this package.

What is read from the storage never raises: it comes back as a value (`metadata.records`,
`metadata.shared_config`). Exceptions are for what people or programs hand in::

    MetadataError              a ValueError
      SettingsError            settings that can't be used (`problems`)
      ConfigTooLargeError      a shared configuration that does not fit (`size`, `allowed`)
      DomainXmlError           a domain XML that can't be read (`why`)
"""

from __future__ import annotations


class MetadataError(ValueError):
    """Something handed to this package can't be used."""


class SettingsError(MetadataError):
    """Settings that can't be used; `problems` has one sentence for each, all at once."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class ConfigTooLargeError(MetadataError):
    """The shared configuration does not fit in one copy; all sizes in bytes."""

    def __init__(self, size: int, allowed: int, xml_size: int) -> None:
        super().__init__(
            f"the shared configuration takes {size} bytes (its domain XML {xml_size}), "
            f"and a copy has room for {allowed}"
        )
        self.size = size
        self.allowed = allowed
        self.xml_size = xml_size


class DomainXmlError(MetadataError):
    """A text that is no usable domain XML; `why` is the reason for people."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why
