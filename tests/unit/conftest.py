"""A database for the tests that need one; they are skipped where there is none."""

from standins.postgresql import postgresql_server

__all__ = ["postgresql_server"]
