"""The lock of an inventory: the digests that its stations learned, one file for all of them (docs/decisions/0020)."""

from gridtie.lock.document import Conflict, Learned, Lock, LockError
from gridtie.lock.file import pin, read, record, take_over
from gridtie.lock.place import not_kept

__all__ = ["Conflict", "Learned", "Lock", "LockError", "not_kept", "pin", "read", "record", "take_over"]
