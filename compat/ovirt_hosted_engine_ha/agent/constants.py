# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""Those constants of the agent that also hold here, from where this program has them."""

from metadata.extra_text import PARSE_VERSION as METADATA_PARSE_VERSION
from metadata.layout import LOCKSPACE_NAME
from metadata.settings.values import ScoreWeights, Timing
from metadata.wire import FEATURE_VERSION as METADATA_FEATURE_VERSION

SERVICE_TYPE = LOCKSPACE_NAME
BASE_SCORE = ScoreWeights().base
HOST_ALIVE_TIMEOUT_SECS = int(Timing().alive_s)
ENGINE_STARTING_TIMEOUT = int(Timing().starting_s)

__all__ = [
    "BASE_SCORE",
    "ENGINE_STARTING_TIMEOUT",
    "HOST_ALIVE_TIMEOUT_SECS",
    "LOCKSPACE_NAME",
    "METADATA_FEATURE_VERSION",
    "METADATA_PARSE_VERSION",
    "SERVICE_TYPE",
]
