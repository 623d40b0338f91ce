"""The SQLite schema of the ledger, and the steps by which an older one becomes the present one (see migrate).

Statements, not code: `sqlite3` on any machine reads the same tables and views that the reports are made from.
"""

from __future__ import annotations

# What budgets count of a row of a cloud: `Entry.spent_usd` as SQL.
SPENT_USD = "iif(estimated AND NOT complete AND first_token IS NULL, max(cost_usd, reserved_usd), cost_usd)"

# The view `metered` since schema 2; `{more}` are the columns that a later schema added to it.
_METERED = """
    CREATE VIEW metered AS SELECT
      id, time, key, environment, asked, rule, status, code, baseline, price_date,
      purpose, project, waited, choices, output_limit, reserved_usd,
      station, engine, engine_version, digest, prices,{more}
      date(time, 'unixepoch') AS day,
      coalesce(agent, '(none)') AS agent,
      coalesce(target, '(nothing answered)') AS model,
      answered, refused, refused_or_failed AND NOT refused AS failed, interrupted, cancelled,
      reached AND locality IS 'local' AS local,
      reached AND locality IS 'cloud' AS cloud,
      NOT (reached AND locality IS NOT NULL) AS nowhere,
      private,
      private AND (cloud_tries > 0 OR locality IS 'cloud') AS private_cloud,
      -- Sent to a cloud, and something else (or nothing) answered in the end: whether it billed is not known.
      max(cloud_tries - (locality IS 'cloud'), 0) AS cloud_lost,
      iif(billable, input_tokens, 0) AS input_tokens,
      iif(billable, output_tokens, 0) AS output_tokens,
      iif(billable, cached_tokens, 0) AS cached_tokens,
      iif(billable, reasoning_tokens, 0) AS reasoning_tokens,
      billable AND estimated AS estimated,
      cost IS NULL OR compared IS NULL AS unpriced,
      billable AND reserved_usd > 0 AND cost_usd > reserved_usd + 1e-9 AS over_reserved,
      cost AS cost_usd,
      compared AS baseline_usd,
      -- The same in millionths of a millionth of a dollar: whole numbers add up to the same sum in any order and in any
      -- version of SQLite (newer ones add fractions more exactly than older ones).
      cast(round(cost * 1e12) AS INTEGER) AS cost_pico,
      cast(round(compared * 1e12) AS INTEGER) AS baseline_pico
    FROM (
      SELECT *,
        iif(billable, cost_usd, 0.0) AS cost,
        iif(answered AND target IS NOT NULL AND baseline <> '', baseline_usd, 0.0) AS compared,
        -- Nothing was sent anywhere.
        iif(refused_or_failed, NOT EXISTS (
          SELECT 1 FROM json_each(tries) AS tried WHERE json_extract(tried.value, '$.outcome') <> 'skipped'
        ), 0) AS refused
      FROM (
        SELECT requests.*, station, engine, engine_version, digest, prices,
          status < 400 AS reached,  -- an answer reached the client, whole or not
          status < 400 AND complete AS answered,
          -- 499: the client left before there was a status to send.
          status >= 400 AND status <> 499 AS refused_or_failed,
          -- iif, since AND looks at both sides: JSON is read of the few rows that need it.
          iif(status < 400 AND NOT complete, json_extract(tries, '$[#-1].outcome') IS 'cancelled', status = 499)
            AS cancelled,
          iif(status < 400 AND NOT complete, json_extract(tries, '$[#-1].outcome') IS NOT 'cancelled', 0)
            AS interrupted,
          target IS NOT NULL AND (status < 400 OR status = 499) AS billable
        FROM requests LEFT JOIN backends ON backends.id = requests.backend
      )
    );
"""

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
    # Schema 2, of gridtie 1.1.0. What is compared and billed became what was served; the tool's own traffic is told
    # apart; a row has the rates that its money was computed with.
    """
    DROP VIEW metered;
    -- A report on one key reads the rows of its period by time, as a report on all keys does; an index that every row
    -- of every request has to be entered in is dearer than that.
    DROP INDEX requests_by_key;

    -- What answered, and the rates that its money was computed with: the same for thousands of rows, so kept once.
    CREATE TABLE backends (
      id INTEGER PRIMARY KEY,
      engine TEXT NOT NULL,
      engine_version TEXT NOT NULL,
      digest TEXT NOT NULL,            -- of the model's file
      station TEXT NOT NULL,
      -- JSON: {"target": rates, "baseline": rates}; rates: input, output and, where they differ from input,
      -- cached_input and cache_write, in US dollars per million tokens. A local answer has no "target".
      -- '': a row of 1.0.0, or no price is known.
      prices TEXT NOT NULL,
      UNIQUE (engine, engine_version, digest, station, prices)
    ) STRICT;
    INSERT INTO backends VALUES (0, '', '', '', '', '');

    ALTER TABLE requests ADD COLUMN backend INTEGER NOT NULL DEFAULT 0;         -- backends.id; 0: nothing is known
    ALTER TABLE requests ADD COLUMN purpose TEXT NOT NULL DEFAULT '';           -- '': a user's request
    ALTER TABLE requests ADD COLUMN code TEXT NOT NULL DEFAULT '';              -- of the error that the client was told
    ALTER TABLE requests ADD COLUMN reasoning_tokens INTEGER NOT NULL DEFAULT 0; -- of output_tokens
    ALTER TABLE requests ADD COLUMN waited REAL NOT NULL DEFAULT 0;             -- seconds in a queue
    ALTER TABLE requests ADD COLUMN project TEXT NOT NULL DEFAULT '';
    ALTER TABLE requests ADD COLUMN reserved_usd REAL NOT NULL DEFAULT 0;       -- by the attempt that answered
    ALTER TABLE requests ADD COLUMN choices INTEGER NOT NULL DEFAULT 1;         -- answers asked for at once
    ALTER TABLE requests ADD COLUMN output_limit INTEGER;                       -- written by the router; NULL: none was

    -- 1.0.0's doctor named itself. Its other checks asked for the alias `probe` without a name, as a person may have
    -- done: they stay a user's requests. Neither saved anything.
    UPDATE requests SET purpose = 'doctor' WHERE asked = 'probe' AND agent = 'doctor';
    UPDATE requests SET baseline = '', baseline_usd = NULL WHERE asked = 'probe';

    -- What erased rows had spent at clouds, by hour and without the key's name, so that no budget gets it back.
    CREATE TABLE erased_spending (
      hour REAL NOT NULL,              -- Unix seconds
      environment TEXT NOT NULL,
      usd REAL NOT NULL
    ) STRICT;

    -- One row per request in the terms of the reports; sums over it are the reports.
    --   requests = answered + refused + failed + interrupted + cancelled = local + cloud + nowhere
    -- Only what was served is billed and saved:
    --   answered     a whole answer: its cost, and what the baseline would have cost
    --   interrupted  the answer broke off, and cancelled: the client left: what a cloud may have billed for it is cost,
    --                and compared with nothing, since nobody got what was asked for
    --   failed       tried and not answered, and refused: not even tried: no tokens, no cost, no baseline
    @metered@
    -- Each row's money once more, from its tokens and the rates in it.
    CREATE VIEW repriced AS SELECT
      id, time, key, environment, purpose, cost_usd, baseline_usd,
      iif(locality IS 'local', 0.0, (
        plain * json_extract(prices, '$.target.input')
        + cached_tokens
          * coalesce(json_extract(prices, '$.target.cached_input'), json_extract(prices, '$.target.input'))
        + cache_write_tokens
          * coalesce(json_extract(prices, '$.target.cache_write'), json_extract(prices, '$.target.input'))
        + output_tokens * json_extract(prices, '$.target.output')
      ) / 1e6) AS cost_again,
      (
        plain * json_extract(prices, '$.baseline.input')
        + cached_tokens
          * coalesce(json_extract(prices, '$.baseline.cached_input'), json_extract(prices, '$.baseline.input'))
        + cache_write_tokens
          * coalesce(json_extract(prices, '$.baseline.cache_write'), json_extract(prices, '$.baseline.input'))
        + output_tokens * json_extract(prices, '$.baseline.output')
      ) / 1e6 AS baseline_again
    FROM (
      SELECT requests.*, prices, max(input_tokens - cached_tokens - cache_write_tokens, 0) AS plain
      FROM requests JOIN backends ON backends.id = requests.backend
    )
    WHERE prices <> '' AND (status < 400 OR status = 499);
    """.replace("@metered@", _METERED.format(more="")),
    # Schema 3, of gridtie 1.1.0: what `gridtie report` reads beside the money is in the view as well.
    "DROP VIEW metered;"
    + _METERED.format(
        more=" tags, tries, locality, first_token, duration, cache_write_tokens,\n"
        "      -- 1.0.0's name for both of them, where an answer had begun.\n"
        "      reached AND NOT complete AS broken_off,"
    ),
)
VERSION = len(MIGRATIONS)
