"""The exceptions of `ha_agent.client`, by the names that callers catch."""

from ha_agent.client import BrokerSilentError as DisconnectionError
from ha_broker.client import BrokerError as MetadataError
from ha_broker.client import BrokerGoneError as BrokerConnectionError
from ha_broker.client import BrokerRefusedError as RequestError

__all__ = ["BrokerConnectionError", "DisconnectionError", "MetadataError", "RequestError"]
