"""A database for the tests of the store that has one, and a foreign authority."""

from standins.fixtures import authority
from standins.postgresql import postgresql_server

__all__ = ["authority", "postgresql_server"]
