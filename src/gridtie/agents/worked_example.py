"""The one worked example that agents are shown before the real order, on a function that is no task of the demo.

A very small model learns the form of an answer from it; a large one does not need it and is not disturbed.
"""

from __future__ import annotations

REQUEST = "Write a Python function `largest(numbers)` that returns the largest number of a list."
CODE = """\
def largest(numbers):
    best = numbers[0]
    for number in numbers:
        if number > best:
            best = number
    return best
"""
