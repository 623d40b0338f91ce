"""The SQLite schema of the ledger, and the steps by which an older one becomes the present one (see migrate).

Statements, not code: `sqlite3` on any machine reads the same tables and views that the reports are made from.
"""

from __future__ import annotations

# Entry n brings the database from version n to n + 1 (`PRAGMA user_version`). Entries are never changed once released,
# only added.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE requests (
      id TEXT PRIMARY KEY,
      time REAL NOT NULL,              -- Unix seconds of arrival
      key TEXT NOT NULL,
      environment TEXT NOT NULL,
      agent TEXT,
      tags TEXT NOT NULL,              -- JSON array
      private INTEGER NOT NULL,
      surface TEXT NOT NULL,
      asked TEXT NOT NULL,
      stream INTEGER NOT NULL,
      status INTEGER NOT NULL,
      rule TEXT NOT NULL,
      target TEXT,
      locality TEXT,
      served TEXT,
      tries TEXT NOT NULL,             -- JSON array of {target, locality, outcome, duration, message}
      cloud_tries INTEGER NOT NULL,    -- how many of them were sent to a cloud
      input_tokens INTEGER NOT NULL,
      output_tokens INTEGER NOT NULL,
      cached_tokens INTEGER NOT NULL,
      cache_write_tokens INTEGER NOT NULL,
      estimated INTEGER NOT NULL,
      complete INTEGER NOT NULL,
      first_token REAL,                -- seconds
      duration REAL NOT NULL,          -- seconds
      error TEXT NOT NULL,
      cost_usd REAL,                   -- NULL: no price is known
      baseline TEXT NOT NULL,
      baseline_usd REAL,
      price_date TEXT NOT NULL
    ) STRICT;
    CREATE INDEX requests_by_time ON requests (time);
    CREATE INDEX requests_by_key ON requests (key, time);

    -- Cloud attempts without their request's end: in flight, or cut off by the end of the process.
    CREATE TABLE attempts (
      id TEXT NOT NULL,
      target TEXT NOT NULL,
      time REAL NOT NULL,
      key TEXT NOT NULL,
      environment TEXT NOT NULL,
      reserve_usd REAL NOT NULL,
      unfinished INTEGER NOT NULL DEFAULT 0,   -- 1: the process that sent it is gone
      PRIMARY KEY (id, target, time)
    ) STRICT;

    -- One row per request in the terms of the reports; sums over it are the reports.
    CREATE VIEW metered AS SELECT
      id, time, key, environment, asked, rule, status, baseline, price_date,
      date(time, 'unixepoch') AS day,
      coalesce(agent, '(none)') AS agent,
      coalesce(target, '(nothing answered)') AS model,
      status < 400 AND complete AS answered,
      -- 499: the client left before there was a status to send.
      status = 499 AS cancelled,
      status >= 400 AND status <> 499 AND tries = '[]' AS refused,
      status >= 400 AND status <> 499 AND tries <> '[]' AS failed,
      status < 400 AND NOT complete AS broken_off,
      locality IS 'local' AS local,
      locality IS 'cloud' AS cloud,
      private,
      private AND (cloud_tries > 0 OR locality IS 'cloud') AS private_cloud,
      -- Sent to a cloud, and something else (or nothing) answered in the end: whether it billed is not known.
      max(cloud_tries - (locality IS 'cloud'), 0) AS cloud_lost,
      input_tokens, output_tokens, cached_tokens,
      estimated,
      target IS NOT NULL AND (cost_usd IS NULL OR baseline_usd IS NULL) AS unpriced,
      -- Where nothing answered there are no tokens to price.
      CASE WHEN target IS NULL THEN 0.0 ELSE cost_usd END AS cost_usd,
      CASE WHEN target IS NULL THEN 0.0 ELSE baseline_usd END AS baseline_usd,
      -- The same in millionths of a millionth of a dollar: whole numbers add up to the same sum in any order and in any
      -- version of SQLite (newer ones add fractions more exactly than older ones).
      CASE WHEN target IS NULL THEN 0 ELSE cast(round(cost_usd * 1e12) AS INTEGER) END AS cost_pico,
      CASE WHEN target IS NULL THEN 0 ELSE cast(round(baseline_usd * 1e12) AS INTEGER) END AS baseline_pico
    FROM requests;
    """,
)
VERSION = len(MIGRATIONS)
