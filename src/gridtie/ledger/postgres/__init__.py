"""The ledger of several routers: one PostgreSQL database, of which each router keeps a copy in SQLite.

docs/replicas.md says what happens when; decision 0064 why it is made so.
"""
