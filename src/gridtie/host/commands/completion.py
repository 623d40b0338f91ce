"""`gridtie completion SHELL`: a script by which a shell completes this command's words and options."""

from __future__ import annotations

import argparse
import sys
from argparse import Namespace
from typing import Any, Dict, List

_BASH = """_gridtie() {{
  local at="" word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    word="$at${{at:+ }}$word"
    case "$word" in {known}) at=$word ;; esac
  done
  case "$at" in
{cases}
    *) return ;;
  esac
}}
complete -o default -F _gridtie gridtie
"""
_BASH_CASE = '    "{path}") COMPREPLY=($(compgen -W "{words}" -- "${{COMP_WORDS[COMP_CWORD]}}")) ;;'
# zsh understands bash's own.
_ZSH = "autoload -U +X bashcompinit && bashcompinit\n"
_FISH = """function __gridtie_at
  set -l path
  set -l words (commandline -opc)
  set -e words[1]
  for word in $words
    set -l below (string trim -- "$path $word")
    contains -- $below {known}; and set path $below
  end
  test "$path" = "$argv"
end
"""
_FISH_CASE = "complete -c gridtie -f -n '__gridtie_at {path}' -a \"{words}\""


def register(commands: Any) -> None:
    """Add the command to the parser's sub-commands."""
    parser = commands.add_parser(
        "completion",
        help="print what a shell needs to complete this command",
        description='bash: eval "$(gridtie completion bash)" in ~/.bashrc; zsh likewise in ~/.zshrc; fish: gridtie '
        "completion fish > ~/.config/fish/completions/gridtie.fish",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="whose completion to print")
    parser.set_defaults(run=run, commands=commands)


def run(args: Namespace) -> int:
    """Print it."""
    sys.stdout.write(script(args.shell, words_by_path(args.commands.choices)))
    return 0


def script(shell: str, words: Dict[str, List[str]]) -> str:
    """The script for one shell."""
    if shell == "fish":
        known = " ".join(f'"{path}"' for path in words if path)
        lines = [_FISH_CASE.format(path=path, words=" ".join(each)) for path, each in words.items()]
        return _FISH.format(known=known) + "\n".join(lines) + "\n"
    known = "|".join(f'"{path}"' for path in words if path)
    cases = "\n".join(_BASH_CASE.format(path=path, words=" ".join(each)) for path, each in words.items())
    return (_ZSH if shell == "zsh" else "") + _BASH.format(known=known, cases=cases)


def words_by_path(commands: Dict[str, argparse.ArgumentParser], path: str = "") -> Dict[str, List[str]]:
    """What can follow each sequence of commands, such as `keys add`."""
    found = {path: list(commands)}
    for name, parser in commands.items():
        at = f"{path} {name}".strip()
        options = [option for action in parser._actions for option in action.option_strings if option.startswith("--")]
        choices = [str(each) for action in parser._actions for each in action.choices or ()]
        found[at] = choices + options
        for action in parser._actions:
            if isinstance(action.choices, dict):
                below = words_by_path(action.choices, at)
                found.update({**below, at: choices + options})
    return found
