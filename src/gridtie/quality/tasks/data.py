"""SQL on a small database, and facts taken out of text as JSON."""

from __future__ import annotations

from typing import Any

from gridtie.quality.checks import json_value, query
from gridtie.quality.task import Task, texts, user

_SCHEMA = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, city TEXT, manager INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, person INTEGER, day TEXT, amount REAL);
INSERT INTO people VALUES (1, 'Ada', 'Bern', NULL), (2, 'Bo', 'Bern', 1), (3, 'Cy', 'Oslo', 1), (4, 'Di', 'Rome', 3);
INSERT INTO orders VALUES (1, 1, '2026-01-05', 10), (2, 1, '2026-02-01', 30), (3, 2, '2026-02-01', 5),
  (4, 3, '2026-03-09', 50), (5, 2, '2026-03-10', NULL);
"""
_TABLES = "people (id, name, city, manager: the id of another person or NULL), orders (id, person, day: text, amount: may be NULL)"


def _select(name: str, asked: str, rows: list[tuple[Any, ...]], right: str, *wrong: str, ordered: bool = False) -> Task:
    return Task(
        name=f"sql-{name}",
        category="sql",
        messages=user(
            f"An SQLite database has the tables {_TABLES}. {asked} "
            "Answer with one SELECT statement, in one code block, that returns these columns alone."
        ),
        check=query(_SCHEMA, rows, ordered=ordered),
        right=texts(f"```sql\n{right};\n```", right),
        wrong=texts(*(f"```sql\n{each}\n```" for each in wrong), "DROP TABLE people", "SELECT nothing FROM nowhere"),
        max_tokens=200,
    )


SQL = (
    _select(
        "in-a-city", "Give the names of all people in Bern.", [("Ada",), ("Bo",)],
        "SELECT name FROM people WHERE city = 'Bern'", "SELECT name FROM people", "SELECT * FROM people WHERE city = 'Bern'",
    ),
    _select(
        "total", "Give the sum of all amounts in February 2026.", [(35.0,)],
        "SELECT SUM(amount) FROM orders WHERE day LIKE '2026-02-%'", "SELECT SUM(amount) FROM orders",
    ),
    _select(
        "per-person", "For each person with at least one order, give the name and the number of orders.",
        [("Ada", 2), ("Bo", 2), ("Cy", 1)],
        "SELECT name, COUNT(*) FROM people JOIN orders ON orders.person = people.id GROUP BY people.id",
        "SELECT name, COUNT(orders.id) FROM people LEFT JOIN orders ON orders.person = people.id GROUP BY people.id",
        "SELECT name, COUNT(amount) FROM people JOIN orders ON orders.person = people.id GROUP BY people.id",
    ),
    _select(
        "without", "Give the names of people who have no order.", [("Di",)],
        "SELECT name FROM people WHERE id NOT IN (SELECT person FROM orders)",
        "SELECT name FROM people WHERE id IN (SELECT person FROM orders)",
    ),
    _select(
        "largest-first", "Give day and amount of the orders that have an amount, the largest amount first.",
        [("2026-03-09", 50.0), ("2026-02-01", 30.0), ("2026-01-05", 10.0), ("2026-02-01", 5.0)],
        "SELECT day, amount FROM orders WHERE amount IS NOT NULL ORDER BY amount DESC",
        "SELECT day, amount FROM orders WHERE amount IS NOT NULL ORDER BY amount",
        "SELECT day, amount FROM orders ORDER BY amount DESC", ordered=True,
    ),
    _select(
        "managers", "For each person who has a manager, give the person's name and the manager's name.",
        [("Bo", "Ada"), ("Cy", "Ada"), ("Di", "Cy")],
        "SELECT p.name, m.name FROM people p JOIN people m ON p.manager = m.id",
        "SELECT p.name, m.name FROM people p JOIN people m ON m.manager = p.id",
    ),
    _select(
        "above-mean", "Give the ids of orders whose amount is above the average amount of all orders that have one.",
        [(2,), (4,)],
        "SELECT id FROM orders WHERE amount > (SELECT AVG(amount) FROM orders)",
        "SELECT id FROM orders WHERE amount >= 10",
    ),
    _select(
        "null-as-zero", "For each order of Bo, give its day and its amount, with 0 where there is none.",
        [("2026-02-01", 5.0), ("2026-03-10", 0)],
        "SELECT day, COALESCE(amount, 0) FROM orders JOIN people ON people.id = person WHERE name = 'Bo'",
        "SELECT day, amount FROM orders JOIN people ON people.id = person WHERE name = 'Bo'",
    ),
)  # fmt: skip


def _extract(name: str, text: str, asked: str, wanted: Any, right: str, *wrong: str) -> Task:
    return Task(
        name=f"json-{name}",
        category="json",
        messages=user(f"{text}\n\n{asked} Answer with JSON alone."),
        check=json_value(wanted),
        right=texts(right, f"```json\n{right}\n```"),
        wrong=texts(*wrong, "There is none.", "{}"),
        max_tokens=200,
    )


JSON = (
    _extract(
        "person", "Maria Keller, 41, has led the Zurich office since March 2019.",
        'Give an object with "name" (text), "age" (number) and "city" (text).',
        {"name": "Maria Keller", "age": 41, "city": "Zurich"}, '{"city": "Zurich", "name": "Maria Keller", "age": 41}',
        '{"name": "Maria Keller", "age": "41", "city": "Zurich"}', '{"name": "Maria", "age": 41, "city": "Zurich"}',
    ),
    _extract(
        "invoice", "Invoice 2231: 3 chairs at 40.50 each, 1 desk at 199. Delivery is free.",
        'Give an object with "invoice" (number) and "items", a list of objects with "what" (text, singular), "count" and '
        '"price" (numbers, of one piece), in the order of the text.',
        {"invoice": 2231, "items": [{"what": "chair", "count": 3, "price": 40.5}, {"what": "desk", "count": 1, "price": 199}]},
        '{"invoice": 2231, "items": [{"what": "chair", "count": 3, "price": 40.50},'
        ' {"what": "desk", "count": 1, "price": 199}]}',
        '{"invoice": 2231, "items": [{"what": "desk", "count": 1, "price": 199}]}',
        '{"invoice": 2231, "items": [{"what": "chair", "count": 3, "price": 121.5},'
        ' {"what": "desk", "count": 1, "price": 199}]}',
    ),
    _extract(
        "dates", "We met on 3 May 2026, again on the 17th of the same month, and once more on New Year's Day 2027.",
        'Give a list of the three dates as text of the form "YYYY-MM-DD", in order.',
        ["2026-05-03", "2026-05-17", "2027-01-01"], '["2026-05-03", "2026-05-17", "2027-01-01"]',
        '["2026-05-03", "2026-05-17"]', '["3 May 2026", "17 May 2026", "1 January 2027"]',
    ),
    _extract(
        "nothing", "The meeting is in room 4. Bring your own coffee.",
        'Give an object with "room" (number) and "time" (text, or null where the text names none).',
        {"room": 4, "time": None}, '{"room": 4, "time": null}', '{"room": 4, "time": "10:00"}', '{"room": "4", "time": null}',
    ),
    _extract(
        "log-line", "2026-11-29T10:15:02Z web-3 nginx[412]: upstream timed out (110) while reading, client: 10.0.4.17",
        'Give an object with "host" (text), "process" (number) and "client" (text).',
        {"host": "web-3", "process": 412, "client": "10.0.4.17"},
        '{"host": "web-3", "process": 412, "client": "10.0.4.17"}',
        '{"host": "nginx", "process": 412, "client": "10.0.4.17"}', '{"host": "web-3", "process": 110, "client": "10.0.4.17"}',
    ),
    _extract(
        "true-or-false", "Plan A: 20 GB, no phone. Plan B: unlimited data, phone included.",
        'Give a list of objects with "plan" (text, the letter alone), "unlimited" and "phone" (both true or false).',
        [{"plan": "A", "unlimited": False, "phone": False}, {"plan": "B", "unlimited": True, "phone": True}],
        '[{"plan": "A", "unlimited": false, "phone": false}, {"plan": "B", "unlimited": true, "phone": true}]',
        '[{"plan": "A", "unlimited": 0, "phone": 0}, {"plan": "B", "unlimited": 1, "phone": 1}]',
    ),
    _extract(
        "quotes", 'She wrote: "Say \\"no\\" twice." He did not.',
        'Give an object with "quote": what she wrote, without the outer quotation marks and without backslashes.',
        {"quote": 'Say "no" twice.'}, '{"quote": "Say \\"no\\" twice."}', '{"quote": "Say no twice."}',
    ),
    _extract(
        "units", "The tank holds 1.5 cubic metres; the bucket takes 12 litres, the cup 250 ml.",
        'Give an object from "tank", "bucket" and "cup" to what each holds in litres, as numbers.',
        {"tank": 1500, "bucket": 12, "cup": 0.25}, '{"tank": 1500, "bucket": 12, "cup": 0.25}',
        '{"tank": 1.5, "bucket": 12, "cup": 250}', '{"tank": 1500, "bucket": 12, "cup": 0.025}',
    ),
)  # fmt: skip
