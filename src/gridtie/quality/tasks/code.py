"""Python functions and shell commands, judged by what they do."""

from __future__ import annotations

from collections.abc import Mapping

from gridtie.agents import task as demo_task
from gridtie.agents import tasks as demo
from gridtie.quality.checks import function, shell
from gridtie.quality.task import Task, texts, user

_ONLY_CODE = "Answer with the function alone, in one code block."


def _of_the_demo(task: demo_task.Task) -> Task:
    """A feature of the demo: its request, its hidden tests, and the wrong solutions that look right."""
    return Task(
        name=f"python-{task.name.replace('_', '-')}",
        category="python",
        messages=user(f"{task.request} {_ONLY_CODE}"),
        check=function(task.function, *((each.arguments, each.expected) for each in task.hidden)),
        right=texts(task.reference, f"Here it is:\n```python\n{task.reference}```\nIt works."),
        wrong=texts(*task.mutants, "I cannot do that."),
        executes=True,
    )


PYTHON = (
    *(_of_the_demo(task) for task in demo.TASKS.values()),
    Task(
        name="python-group-by-first",
        category="python",
        messages=user(
            "Write a Python function `group_by_first(words)` that returns a dictionary from each first letter, in lower "
            f"case, to the list of words with that letter, in their order; empty words are left out. {_ONLY_CODE}"
        ),
        check=function(
            "group_by_first",
            (([],), {}),
            ((["Ant", "bee", "ape"],), {"a": ["Ant", "ape"], "b": ["bee"]}),
            ((["", "x"],), {"x": ["x"]}),
        ),
        right=texts(
            "def group_by_first(words):\n    found = {}\n    for word in words:\n        if word:\n"
            "            found.setdefault(word[0].lower(), []).append(word)\n    return found\n"
        ),
        wrong=texts(
            "def group_by_first(words):\n    found = {}\n    for word in words:\n"
            "        found.setdefault(word[0].lower(), []).append(word)\n    return found\n",
            "def group_by_first(words):\n    return {w[0]: [v for v in words if v[0] == w[0]] for w in words if w}\n",
        ),
        executes=True,
    ),
)

_LOG = "10:00 ERROR disk full\n10:01 INFO started\n10:02 ERROR no route\n10:05 WARN slow\n"
_SALES = "ann,3\nbob,5\nann,4\ncid,1\n"
_NAMES = "pear\nfig\napple\nfig\npear\nfig\n"


def _command(name: str, files: Mapping[str, str], asked: str, wanted: str, right: str, *wrong: str) -> Task:
    return Task(
        name=f"shell-{name}",
        category="shell",
        messages=user(
            f"{asked} Use a POSIX shell and the usual commands (grep, sed, awk, sort, cut, find, wc). "
            "Answer with the command alone, in one code block."
        ),
        check=shell(files, wanted),
        right=texts(f"```sh\n{right}\n```", right),
        wrong=texts(*(f"```sh\n{each}\n```" for each in wrong), ""),
        max_tokens=200,
        executes=True,
    )


SHELL = (
    _command(
        "count-errors", {"app.log": _LOG},
        "Print how many lines of the file app.log contain the word ERROR, and nothing else.",
        "2", "grep -c ERROR app.log", "wc -l < app.log", "grep ERROR app.log",
    ),
    _command(
        "second-column", {"sales.csv": _SALES},
        "Print the sum of the second column of sales.csv, a file of lines like `ann,3`.",
        "13", "awk -F, '{s += $2} END {print s}' sales.csv", "awk '{s += $2} END {print s}' sales.csv", "wc -l sales.csv",
    ),
    _command(
        "sum-per-name", {"sales.csv": _SALES},
        "For each name in the first column of sales.csv (lines like `ann,3`), print the name, a space and the sum of its "
        "second column, a line each, sorted by name.",
        "ann 7 bob 5 cid 1", "awk -F, '{s[$1] += $2} END {for (n in s) print n, s[n]}' sales.csv | sort",
        "sort sales.csv | tr , ' '",
    ),
    _command(
        "most-frequent", {"names.txt": _NAMES},
        "Print the line that is in names.txt most often, alone, without its count.",
        "fig", "sort names.txt | uniq -c | sort -rn | head -1 | awk '{print $2}'",
        "sort names.txt | uniq -c | sort -rn | head -1", "sort names.txt | uniq | head -1",
    ),
    _command(
        "empty-files", {"a.txt": "", "b.txt": "x\n", "c.log": ""},
        "Print the names of the empty files in the current directory whose names end in .txt, a line each, without `./`.",
        "a.txt", "find . -maxdepth 1 -name '*.txt' -empty | sed 's|^\\./||'", "find . -empty -type f", "ls *.txt",
    ),
    _command(
        "rename-in-text", {"conf.ini": "host=alpha\nname=alphabet\nhost=beta\n"},
        "Print conf.ini with the line `host=alpha` as `host=gamma`; all other lines stay as they are.",
        "host=gamma name=alphabet host=beta", "sed 's/^host=alpha$/host=gamma/' conf.ini", "sed 's/alpha/gamma/' conf.ini",
    ),
    _command(
        "longest-line", {"poem.txt": "so\nmuch depends\nupon\n"},
        "Print the number of characters in the longest line of poem.txt, not counting the line end.",
        "12", "awk '{ if (length($0) > m) m = length($0) } END { print m }' poem.txt", "wc -c < poem.txt",
    ),
    _command(
        "last-of-each", {"state.txt": "a up\nb up\na down\nc up\n"},
        "Each line of state.txt is a name and a state. Print the last state of each name, as `name state`, sorted by name.",
        "a down b up c up", "awk '{s[$1] = $2} END {for (n in s) print n, s[n]}' state.txt | sort",
        "sort -u state.txt", "sort -u -k1,1 state.txt",
    ),
)  # fmt: skip
