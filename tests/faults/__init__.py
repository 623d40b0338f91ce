"""The fault table: every way in which an upstream goes wrong, against a real router process.

`make faults` prints it; `tests/integration/test_faults.py` holds it. `table.py` says what must come of each fault,
`upstream.py` commits them, `wire.py` has the words of each dialect, `play.py` asks and judges.
"""
