"""`gridtie report`: what was spent, what it would have cost elsewhere, and what is left after electricity.

Every figure is the result of an SQL statement over the ledger file, and the report carries those statements.
"""
