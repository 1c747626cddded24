"""The client of `ha_agent.client`, by the name that callers import."""

from ha_agent.client import HAClient

__all__ = ["HAClient"]
