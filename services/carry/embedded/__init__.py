"""PostgreSQL and Redis as children of this process."""

from services.carry.embedded.servers import EmbeddedServers

__all__ = ["EmbeddedServers"]
