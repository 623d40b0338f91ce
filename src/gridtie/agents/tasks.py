"""The features that the demo can build, from what a very small model gets right to what takes a real coding model.

The request of a task says everything that its hidden tests ask for; the tests hold no surprises, only more cases.
"""

from __future__ import annotations

from gridtie.agents.schema import BOOLEAN, array, integer, text
from gridtie.agents.task import Example, Task

_WORDS = text("^([A-Za-z0-9,.!?'-]{1,12}( [A-Za-z0-9,.!?'-]{1,12}){0,3})?$")
_NUMBER = integer(-1000, 1000)
_NUMBERS = array(_NUMBER, 0, 6)

IS_EVEN = Task(
    name="is_even",
    level="tiny",
    signature="is_even(n)",
    does="returns True if the whole number n is even, and False if it is odd",
    examples=(Example((4,), True), Example((7,), False)),
    hidden=(
        Example((0,), True),
        Example((1,), False),
        Example((-2,), True),
        Example((-3,), False),
        Example((10**12,), True),
        Example((10**12 + 1,), False),
    ),
    reference="def is_even(n):\n    return n % 2 == 0\n",
    mutants=(
        "def is_even(n):\n    return n % 2 == 1\n",
        "def is_even(n):\n    return n > 0 and n % 2 == 0\n",
        "def is_even(n):\n    return str(n)[-1] in '2468'\n",
        "def is_even(n):\n    return 1 - n % 2\n",
    ),
    parameters={"n": _NUMBER},
    returns=BOOLEAN,
)

REVERSE_STRING = Task(
    name="reverse_string",
    level="tiny",
    signature="reverse_string(s)",
    does="returns the string s reversed",
    examples=(Example(("abc",), "cba"), Example(("",), "")),
    hidden=(
        Example(("a",), "a"),
        Example(("Hello World",), "dlroW olleH"),
        Example(("  x",), "x  "),
        Example(("été!",), "!été"),
        Example(("0123456789",), "9876543210"),
    ),
    reference="def reverse_string(s):\n    return s[::-1]\n",
    mutants=(
        "def reverse_string(s):\n    return s\n",
        "def reverse_string(s):\n    return s.strip()[::-1]\n",
        "def reverse_string(s):\n    return s[::-1].lower()\n",
        "def reverse_string(s):\n    return ' '.join(reversed(s.split(' ')))\n",
        "def reverse_string(s):\n    return list(reversed(s))\n",
    ),
    parameters={"s": _WORDS},
    returns=_WORDS,
)

IS_PALINDROME = Task(
    name="is_palindrome",
    level="small",
    signature="is_palindrome(s)",
    does=(
        "returns True if the string s reads exactly the same forwards and backwards, spaces and capitals included, and "
        "False if not"
    ),
    examples=(
        Example(("level",), True),
        Example(("python",), False),
        Example(("",), True),
        Example(("never odd or even",), False),
    ),
    hidden=(
        Example(("x",), True),
        Example(("Anna",), False),
        Example(("nurses run",), False),
        Example((" a ",), True),
        Example(("noon",), True),
        Example(("ab",), False),
        Example(("abca",), False),
        Example(("abcda",), False),
        Example(("abxyba",), False),
        Example(("12321",), True),
    ),
    reference="def is_palindrome(s):\n    return s == s[::-1]\n",
    mutants=(
        "def is_palindrome(s):\n    return s[:1] == s[-1:]\n",
        "def is_palindrome(s):\n    t = s.replace(' ', '')\n    return t == t[::-1]\n",
        "def is_palindrome(s):\n    return len(s) != 1 and s == s[::-1]\n",
        "def is_palindrome(s):\n    return s.lower() == s[::-1].lower()\n",
        "def is_palindrome(s):\n    return len(s) % 2 == 1 and s == s[::-1]\n",
        "def is_palindrome(s):\n    return sorted(s) == sorted(s[::-1])\n",
        "def is_palindrome(s):\n    return s[:2] == s[-2:][::-1]\n",
    ),
    parameters={"s": _WORDS},
    returns=BOOLEAN,
)

SUM_SQUARES = Task(
    name="sum_squares",
    level="small",
    signature="sum_squares(numbers)",
    does="returns the sum of the squares of a list of numbers",
    examples=(Example(([1, 2, 3],), 14), Example(([],), 0)),
    hidden=(
        Example(([-2],), 4),
        Example(([0, 0],), 0),
        Example(([5, 5],), 50),
        Example(([10, -10, 1],), 201),
        Example(([0.5],), 0.25),
    ),
    reference="def sum_squares(numbers):\n    return sum(number * number for number in numbers)\n",
    mutants=(
        "def sum_squares(numbers):\n    return sum(numbers) ** 2\n",
        "def sum_squares(numbers):\n    return sum(n * n for n in set(numbers))\n",
        "def sum_squares(numbers):\n    return sum(n * abs(n) for n in numbers)\n",
        "def sum_squares(numbers):\n    return sum(n * 2 for n in numbers)\n",
        "def sum_squares(numbers):\n    return sum(int(n) ** 2 for n in numbers)\n",
    ),
    parameters={"numbers": _NUMBERS},
    returns=integer(-1000000, 1000000),
)

IS_PRIME = Task(
    name="is_prime",
    level="small",
    signature="is_prime(n)",
    does="returns True if the whole number n is a prime number, and False if not",
    examples=(Example((7,), True), Example((9,), False), Example((1,), False)),
    hidden=(
        Example((2,), True),
        Example((3,), True),
        Example((4,), False),
        Example((0,), False),
        Example((-7,), False),
        Example((25,), False),
        Example((49,), False),
        Example((97,), True),
        Example((7919,), True),
        Example((7917,), False),
    ),
    reference=(
        "def is_prime(n):\n    if n < 2:\n        return False\n"
        "    return all(n % d for d in range(2, int(n**0.5) + 1))\n"
    ),
    mutants=(
        "def is_prime(n):\n    return n > 1 and n % 2 == 1\n",
        "def is_prime(n):\n    return n > 1 and all(n % d for d in range(2, int(n**0.5)))\n",
        "def is_prime(n):\n    return n > 2 and all(n % d for d in range(2, n))\n",
        "def is_prime(n):\n    return n != 1 and all(n % d for d in range(2, n))\n",
        "def is_prime(n):\n    return n in (2, 3, 5) or (n > 1 and n % 2 > 0 and n % 3 > 0 and n % 5 > 0)\n",
    ),
    parameters={"n": integer(-20, 1000)},
    returns=BOOLEAN,
)

COUNT_VOWELS = Task(
    name="count_vowels",
    level="small",
    signature="count_vowels(s)",
    does="returns how many vowels (a, e, i, o, u, in upper or lower case) the string s contains",
    examples=(Example(("hello",), 2), Example(("AEIOU",), 5), Example(("xyz",), 0)),
    hidden=(
        Example(("",), 0),
        Example(("Banana",), 3),
        Example(("rhythm",), 0),
        Example(("Queue",), 4),
        Example(("I am, you are",), 6),
        Example(("yay",), 1),
    ),
    reference="def count_vowels(s):\n    return sum(character in 'aeiou' for character in s.lower())\n",
    mutants=(
        "def count_vowels(s):\n    return sum(c in 'aeiou' for c in s)\n",
        "def count_vowels(s):\n    return len(set(s.lower()) & set('aeiou'))\n",
        "def count_vowels(s):\n    return sum(c in 'aeiouy' for c in s.lower())\n",
        "def count_vowels(s):\n    return sum(c in 'aeio' for c in s.lower()) + ('u' in s.lower())\n",
    ),
    parameters={"s": _WORDS},
    returns=integer(0, 40),
)

SLUGIFY = Task(
    name="slugify",
    level="small",
    signature="slugify(title)",
    does=(
        "returns the title in lower case with its words joined by single hyphens; every run of characters that are "
        "neither letters nor digits separates words, and there is no hyphen at either end"
    ),
    examples=(Example(("Hello World",), "hello-world"), Example(("What's new?",), "what-s-new")),
    hidden=(
        Example(("",), ""),
        Example(("One",), "one"),
        Example(("  A  b   c ",), "a-b-c"),
        Example(("--x--y--",), "x-y"),
        Example(("Top 10: Tips & Tricks!",), "top-10-tips-tricks"),
        Example(("...",), ""),
    ),
    reference="import re\n\n\ndef slugify(title):\n    return '-'.join(re.findall(r'[a-z0-9]+', title.lower()))\n",
    mutants=(
        "def slugify(title):\n    return '-'.join(title.lower().split())\n",
        "import re\n\n\ndef slugify(title):\n    return re.sub(r'[^a-z0-9]', '-', title.lower()).strip('-')\n",
        "import re\n\n\ndef slugify(title):\n    return re.sub(r'[^a-z0-9]+', '-', title.lower())\n",
        "import re\n\n\ndef slugify(title):\n    return '-'.join(re.findall(r'[a-z]+', title.lower()))\n",
    ),
    parameters={"title": _WORDS},
    returns=text("^[a-z0-9-]{0,32}$"),
)

RUN_LENGTHS = Task(
    name="run_lengths",
    level="real",
    signature="run_lengths(text)",
    does=(
        "compresses a string: every run of the same character becomes the character followed by the length of the "
        "run, except that a run of one is only the character; an empty string stays empty"
    ),
    examples=(Example(("aaab",), "a3b"), Example(("abc",), "abc")),
    hidden=(
        Example(("",), ""),
        Example(("z",), "z"),
        Example(("zz",), "z2"),
        Example(("aabbaa",), "a2b2a2"),
        Example(("aaaaaaaaaaaa",), "a12"),
        Example(("aAa",), "aAa"),
        Example(("  x",), " 2x"),
    ),
    reference=(
        "from itertools import groupby\n\n\ndef run_lengths(text):\n    pieces = []\n"
        "    for character, run in groupby(text):\n        length = len(list(run))\n"
        "        pieces.append(character if length == 1 else f'{character}{length}')\n    return ''.join(pieces)\n"
    ),
    mutants=(
        "from itertools import groupby\n\n\ndef run_lengths(text):\n"
        "    return ''.join(c + str(len(list(run))) for c, run in groupby(text))\n",
        "def run_lengths(text):\n    return ''.join(\n"
        "        c if text.count(c) == 1 else c + str(text.count(c)) for c in dict.fromkeys(text)\n    )\n",
        "from itertools import groupby\n\n\ndef run_lengths(text):\n    out = ''\n    for c, run in groupby(text):\n"
        "        n = len(list(run))\n        out += c if n == 1 else c + str(min(n, 9))\n    return out\n",
    ),
    parameters={"text": text("^[a-zA-Z]{0,16}$")},
    returns=text("^[a-zA-Z0-9]{0,32}$"),
    code_tokens=400,
)

ROMAN_TO_INTEGER = Task(
    name="roman_to_integer",
    level="real",
    signature="roman_to_integer(numeral)",
    does=(
        "returns the whole number that a Roman numeral in capital letters stands for; a smaller letter before a larger "
        "one is subtracted, and an empty string stands for 0"
    ),
    examples=(Example(("III",), 3), Example(("XIV",), 14)),
    hidden=(
        Example(("",), 0),
        Example(("IV",), 4),
        Example(("IX",), 9),
        Example(("XLII",), 42),
        Example(("CDXLIV",), 444),
        Example(("MCMXCIV",), 1994),
        Example(("MMMCMXCIX",), 3999),
        Example(("DCLXVI",), 666),
    ),
    reference=(
        "VALUES = {'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100, 'D': 500, 'M': 1000}\n\n\n"
        "def roman_to_integer(numeral):\n    total = 0\n    for here, after in zip(numeral, numeral[1:] + ' '):\n"
        "        value = VALUES[here]\n        total += -value if value < VALUES.get(after, 0) else value\n"
        "    return total\n"
    ),
    mutants=(
        "VALUES = {'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100, 'D': 500, 'M': 1000}\n\n\n"
        "def roman_to_integer(numeral):\n    return sum(VALUES[letter] for letter in numeral)\n",
        "VALUES = {'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100, 'D': 500, 'M': 1000}\n\n\n"
        "def roman_to_integer(numeral):\n    total = sum(VALUES[letter] for letter in numeral)\n"
        "    return total - 2 * (('IV' in numeral) + ('IX' in numeral))\n",
        "VALUES = {'I': 1, 'V': 5, 'X': 10, 'L': 50, 'C': 100, 'M': 1000}\n\n\n"
        "def roman_to_integer(numeral):\n    total = 0\n    for here, after in zip(numeral, numeral[1:] + ' '):\n"
        "        value = VALUES.get(here, 0)\n        total += -value if value < VALUES.get(after, 0) else value\n"
        "    return total\n",
    ),
    parameters={"numeral": text("^[IVXLCDM]{1,10}$")},
    returns=integer(0, 4000),
    code_tokens=400,
)

MERGE_INTERVALS = Task(
    name="merge_intervals",
    level="real",
    signature="merge_intervals(intervals)",
    does=(
        "takes a list of [start, end] lists in any order and returns a new list of [start, end] lists, sorted by "
        "start, in which all that overlap or touch are merged; the given list must not be changed"
    ),
    examples=(Example(([[1, 3], [2, 6], [8, 10]],), [[1, 6], [8, 10]]), Example(([[1, 2], [2, 3]],), [[1, 3]])),
    hidden=(
        Example(([],), []),
        Example(([[5, 7]],), [[5, 7]]),
        Example(([[8, 9], [1, 2]],), [[1, 2], [8, 9]]),
        Example(([[1, 10], [2, 3], [4, 5]],), [[1, 10]]),
        Example(([[1, 4], [0, 0], [3, 5], [7, 8]],), [[0, 0], [1, 5], [7, 8]]),
        Example(([[-5, -1], [-2, 2], [3, 4]],), [[-5, 2], [3, 4]]),
    ),
    reference=(
        "def merge_intervals(intervals):\n    merged = []\n    for start, end in sorted(intervals):\n"
        "        if merged and start <= merged[-1][1]:\n            merged[-1][1] = max(merged[-1][1], end)\n"
        "        else:\n            merged.append([start, end])\n    return merged\n"
    ),
    mutants=(
        "def merge_intervals(intervals):\n    merged = []\n    for start, end in intervals:\n"
        "        if merged and start <= merged[-1][1]:\n            merged[-1][1] = max(merged[-1][1], end)\n"
        "        else:\n            merged.append([start, end])\n    return merged\n",
        "def merge_intervals(intervals):\n    merged = []\n    for start, end in sorted(intervals):\n"
        "        if merged and start <= merged[-1][1]:\n            merged[-1][1] = end\n"
        "        else:\n            merged.append([start, end])\n    return merged\n",
        "def merge_intervals(intervals):\n    merged = []\n    for start, end in sorted(intervals):\n"
        "        if merged and start <= merged[-1][1] + 1:\n            merged[-1][1] = max(merged[-1][1], end)\n"
        "        else:\n            merged.append([start, end])\n    return merged\n",
    ),
    parameters={"intervals": array(array(integer(-100, 100), 2, 2), 0, 5)},
    returns=array(array(integer(-100, 100), 2, 2), 0, 5),
    code_tokens=500,
)

PARSE_DURATION = Task(
    name="parse_duration",
    level="real",
    signature="parse_duration(text)",
    does=(
        "returns the number of seconds in a duration such as '1h30m', '45s' or '2d 4h': whole numbers, each followed "
        "by d, h, m or s, with optional spaces anywhere between the parts; text that is not such a duration, an empty "
        "one included, gives None"
    ),
    examples=(Example(("1h30m",), 5400), Example(("45s",), 45), Example(("soon",), None)),
    hidden=(
        Example(("",), None),
        Example(("2d 4h",), 187200),
        Example((" 10m  5s ",), 605),
        Example(("90",), None),
        Example(("1h30",), None),
        Example(("1x",), None),
        Example(("0s",), 0),
        Example(("1d1h1m1s",), 90061),
        Example(("h",), None),
    ),
    reference=(
        "import re\n\n\ndef parse_duration(text):\n    if not re.fullmatch(r'\\s*(\\d+[dhms]\\s*)+', text):\n"
        "        return None\n    seconds = {'d': 86400, 'h': 3600, 'm': 60, 's': 1}\n"
        "    return sum(int(n) * seconds[unit] for n, unit in re.findall(r'(\\d+)([dhms])', text))\n"
    ),
    mutants=(
        "import re\n\n\ndef parse_duration(text):\n    seconds = {'d': 86400, 'h': 3600, 'm': 60, 's': 1}\n"
        "    parts = re.findall(r'(\\d+)([dhms])', text)\n"
        "    return sum(int(n) * seconds[unit] for n, unit in parts) if parts else None\n",
        "import re\n\n\ndef parse_duration(text):\n    if not re.fullmatch(r'(\\d+[dhms])+', text):\n"
        "        return None\n    seconds = {'d': 86400, 'h': 3600, 'm': 60, 's': 1}\n"
        "    return sum(int(n) * seconds[unit] for n, unit in re.findall(r'(\\d+)([dhms])', text))\n",
        "import re\n\n\ndef parse_duration(text):\n    if not re.fullmatch(r'\\s*(\\d+[dhms]\\s*)+', text):\n"
        "        return None\n    seconds = {'d': 86400, 'h': 3600, 'm': 60, 's': 1}\n"
        "    return sum(int(n) * seconds[unit] for n, unit in re.findall(r'(\\d+)([dhms])', text)) or None\n",
    ),
    parameters={"text": text("^[0-9dhms ]{0,12}$")},
    returns=integer(0, 1000000),
    code_tokens=500,
)

DEFAULT = REVERSE_STRING
TASKS = {
    task.name: task
    for task in (
        REVERSE_STRING,
        IS_EVEN,
        IS_PALINDROME,
        SUM_SQUARES,
        IS_PRIME,
        COUNT_VOWELS,
        SLUGIFY,
        RUN_LENGTHS,
        ROMAN_TO_INTEGER,
        MERGE_INTERVALS,
        PARSE_DURATION,
    )
}
