"""The tools of the acceptance, as coding agents have them, and what they are asked for.

Fifteen, since models lose calls with many tools that they make with three (ollama#16686: 0 of 10 with 15).
"""

from __future__ import annotations

from typing import Any, Mapping, Sequence

_TEXT, _COUNT, _FLAG = {"type": "string"}, {"type": "integer"}, {"type": "boolean"}
_TYPES = {"string": str, "integer": int, "boolean": bool}


def _tool(name: str, description: str, **parameters: Mapping[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": parameters, "required": list(parameters)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


TOOLS = (
    _tool("read_file", "Read a file of the project", path=_TEXT),
    _tool("write_file", "Write a file, replacing what is there", path=_TEXT, content=_TEXT),
    _tool("edit_file", "Replace one text in a file by another", path=_TEXT, old=_TEXT, new=_TEXT),
    _tool("delete_file", "Delete a file", path=_TEXT),
    _tool("move_file", "Give a file another name", source=_TEXT, target=_TEXT),
    _tool("list_directory", "List what is in a directory", path=_TEXT),
    _tool("make_directory", "Make a directory", path=_TEXT),
    _tool("search_text", "Search all files for a regular expression", pattern=_TEXT),
    _tool("find_files", "Find files whose names match a pattern such as *.py", pattern=_TEXT),
    _tool("run_command", "Run a command in the shell", command=_TEXT, timeout_seconds=_COUNT),
    _tool("run_tests", "Run the tests of a directory", path=_TEXT, verbose=_FLAG),
    _tool("fetch_url", "Fetch a web page", url=_TEXT),
    _tool("show_diff", "Show what has changed since the last commit", staged=_FLAG),
    _tool("commit", "Commit all changes", message=_TEXT),
    _tool(
        "ask_user",
        "Ask the person a question",
        question=_TEXT,
        kind={"type": "string", "enum": ["yes-or-no", "free text"]},
    ),
)

# What is asked, and the tool that it means.
TASKS = (
    ("Show me what is in the file README.md.", "read_file"),
    ("Which files are in the directory src?", "list_directory"),
    ("Find every file whose name ends in .yaml.", "find_files"),
    ("Where in the project does the text TODO stand?", "search_text"),
    ("Run the tests in the directory tests, with verbose output.", "run_tests"),
    ("Run the command `make build` and give it 60 seconds.", "run_command"),
    ("Create a file notes.txt that contains the word hello.", "write_file"),
    ("Rename old.py to new.py.", "move_file"),
    ("Commit everything with the message: fix the parser.", "commit"),
    ("Delete the file scratch.txt.", "delete_file"),
)

_FUNCTIONS = {tool["function"]["name"]: tool["function"] for tool in TOOLS}


def functions() -> Sequence[Mapping[str, Any]]:
    return tuple(_FUNCTIONS.values())


def well_formed(name: str, arguments: Any) -> bool:
    """Whether it is a call of one of the tools, with all of its arguments and each of its type."""
    function = _FUNCTIONS.get(name)
    if function is None or not isinstance(arguments, dict):
        return False
    properties = function["parameters"]["properties"]
    return set(properties) <= set(arguments) and all(_is(properties[key], arguments[key]) for key in properties)


def _is(schema: Mapping[str, Any], value: Any) -> bool:
    return type(value) is _TYPES[schema["type"]] and value in schema.get("enum", [value])
