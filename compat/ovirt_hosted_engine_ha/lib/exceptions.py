# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The exceptions of `hosted_engine.client`, by the names that callers catch."""

from ha_broker.api.client import BrokerError as MetadataError
from ha_broker.api.client import BrokerGoneError as BrokerConnectionError
from ha_broker.api.client import BrokerRefusedError as RequestError
from hosted_engine.client import BrokerSilentError as DisconnectionError

__all__ = ["BrokerConnectionError", "DisconnectionError", "MetadataError", "RequestError"]
