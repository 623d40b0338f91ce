"""The tables in PostgreSQL, in a schema of their own, and the steps by which older ones become the present ones.

A step only adds: while routers are replaced one after the other, those of before go on with what it leaves.
"""

from __future__ import annotations

# Entry n brings the database from version n to n + 1 (`station.version`). Entries are never changed once released.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE SCHEMA gridtie;

    CREATE TABLE gridtie.station (
      sole boolean PRIMARY KEY DEFAULT true CHECK (sole),
      version integer NOT NULL,
      -- By which a router knows that it still speaks to the same database.
      id uuid NOT NULL DEFAULT gen_random_uuid()
    );
    INSERT INTO gridtie.station (version) VALUES (0);

    CREATE TABLE gridtie.replicas (
      name text PRIMARY KEY,
      seen timestamptz NOT NULL DEFAULT clock_timestamp()
    );

    -- Each replica writes over one connection, so that in its own rows the order of numbers is that of commits: whoever
    -- has read up to a number has missed nothing before it.
    CREATE SEQUENCE gridtie.numbers;

    CREATE TABLE gridtie.requests (
      id text PRIMARY KEY,
      replica text NOT NULL,
      number bigint NOT NULL DEFAULT nextval('gridtie.numbers'),
      time double precision NOT NULL,       -- Unix seconds
      key text NOT NULL,
      environment text NOT NULL,
      spent_usd double precision NOT NULL,  -- what budgets count
      entry json NOT NULL                   -- the whole row, as in the journal; not jsonb, which knows no U+0000
    );
    CREATE UNIQUE INDEX requests_by_number ON gridtie.requests (replica, number);
    CREATE INDEX requests_by_time ON gridtie.requests (time);
    CREATE INDEX requests_that_cost ON gridtie.requests (time) WHERE spent_usd > 0;

    -- Cloud attempts without their request's end: in flight, or cut off by the end of the process.
    CREATE TABLE gridtie.attempts (
      id text NOT NULL,
      target text NOT NULL,
      time double precision NOT NULL,
      replica text NOT NULL,
      number bigint NOT NULL DEFAULT nextval('gridtie.numbers'),
      key text NOT NULL,
      environment text NOT NULL,
      reserve_usd double precision NOT NULL,
      unfinished boolean NOT NULL DEFAULT false,
      PRIMARY KEY (id, target, time)
    );
    CREATE INDEX attempts_by_number ON gridtie.attempts (replica, number);

    -- What erased rows had spent, without the key's name.
    CREATE TABLE gridtie.erased_spending (
      replica text NOT NULL,
      hour double precision NOT NULL,
      environment text NOT NULL,
      usd double precision NOT NULL
    );

    -- Rows that were removed here leave the replicas' copies as well.
    CREATE TABLE gridtie.removals (
      number bigserial PRIMARY KEY,
      time double precision NOT NULL,
      removal json NOT NULL
    );

    -- Keys by name, as keys.json has them: the SHA-256 of a key, and never the key. NULL: it was taken away.
    CREATE TABLE gridtie.keys (
      name text PRIMARY KEY,
      entry json,
      number bigint NOT NULL DEFAULT nextval('gridtie.numbers')
    );

    -- What a replica may spend of a budget in the period that starts then, all in all.
    CREATE TABLE gridtie.leases (
      budget text NOT NULL,
      start double precision NOT NULL,
      replica text NOT NULL,
      usd double precision NOT NULL,
      PRIMARY KEY (budget, start, replica)
    );
    """,
)
VERSION = len(MIGRATIONS)
