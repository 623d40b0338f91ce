"""Random inputs for everything that reads what others wrote.

`targets.py` is the only file that knows the code under test; `corpus.py` has sound inputs, `mutate.py` spoils them.
`test_pure.py` and `test_sockets.py` run in CI with a fixed seed; `make fuzz` runs the same targets for as long as is
wanted, and watches speed, memory and the number of objects.
"""
