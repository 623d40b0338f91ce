"""`gridtie size`: so many developers, such traffic: how many cards, on which rung of the ladder, waiting time and cost.

`queueing` is the arithmetic of waiting, `plan` the file that says what is assumed, `demand` and `speeds` take what was
measured in its place, `ladder` decides, `told` says it.
"""
