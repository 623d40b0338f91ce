"""The version of this gridtie; a test holds it equal to the project's."""

__version__ = "1.1.0"
