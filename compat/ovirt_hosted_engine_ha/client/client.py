"""The client of `hosted_engine.client`, by the name that callers import."""

from hosted_engine.client import HAClient

__all__ = ["HAClient"]
