# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Numbers of YAML as people mean them: decimal, or no numbers at all.

By YAML 1.1 ``010`` is 8, ``0x10`` 16, ``0b11`` 3, ``1:30`` 90 and ``10:00`` 600, and nobody is
told. Here they are texts: who wants a text gets what was typed (a MAC address may look like such
a number), and who wants a number refuses them with the key, the value and what is allowed.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from metadata.error_words import shown

_INT, _FLOAT = "tag:yaml.org,2002:int", "tag:yaml.org,2002:float"
_DECIMALS = {
    _INT: re.compile(r"[-+]?(?:0|[1-9][0-9_]*)$"),
    _FLOAT: re.compile(
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+][0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
}


class DecimalLoader(yaml.SafeLoader):
    """A SafeLoader that takes decimal numbers for numbers and nothing else."""

    def construct_scalar(self, node: Any) -> Any:
        """Also where a tag says that it is a number."""
        value = super().construct_scalar(node)
        decimal = _DECIMALS.get(node.tag)
        if decimal is not None and not decimal.match(value):
            raise self.refusal(node, "a decimal number without leading zeros")
        return value

    def refusal(self, node: Any, allowed: str) -> Exception:
        """The error for a value that is none of what is allowed."""
        why = f"{shown(node.value)} is refused; allowed: {allowed}"
        return yaml.constructor.ConstructorError(None, None, why, node.start_mark)


# By the first character, as the library keeps them.
DecimalLoader.yaml_implicit_resolvers = {
    first: [(tag, _DECIMALS.get(tag, pattern)) for tag, pattern in resolvers]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
