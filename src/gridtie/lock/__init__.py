"""The lock of an inventory: the digests that its stations learned and the models that its groups run, in one file for
all of them (docs/decisions/0020, 0037).
"""

from gridtie.lock.document import Choice, Conflict, Learned, Lock, LockError
from gridtie.lock.file import choose, pin, read, record, take_over
from gridtie.lock.place import not_kept

__all__ = [
    "Choice",
    "Conflict",
    "Learned",
    "Lock",
    "LockError",
    "choose",
    "not_kept",
    "pin",
    "read",
    "record",
    "take_over",
]
