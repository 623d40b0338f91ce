"""Fixtures of the contract tests."""

from standins.fixtures import authority, cloud, shared_cloud

__all__ = ["authority", "cloud", "shared_cloud"]
