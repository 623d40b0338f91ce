"""The router, the embedded engine and the small model as one container, for pipelines and tests."""
