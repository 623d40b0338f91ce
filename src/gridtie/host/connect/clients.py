"""The clients that can be wired, and what each reads.

Settings and paths as the clients' documentation has them and as they were seen to work; docs/clients.md has the
versions. A client that can only be told by hand has no files.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

from .formats import Format, Json, Lines, Toml, Variables, YamlList
from .wiring import Wiring

Environ = Mapping[str, str]


@dataclass(frozen=True)
class Client:
    """One client: what it is called, what it asks the router, where it reads its settings.

    `path` is what it asks first; `opens_with` about how many tokens its first request has; `tools` when it sends any,
    "" where it is told to each time; `ask` the words by which its
    own program puts one question, behind its name; `origins` what its pages are called, where its requests come from a
    browser's engine: they are refused unless they are declared.
    """

    name: str
    title: str
    path: str
    files: Callable[[Path, Environ], Sequence[Tuple[Path, Format]]] = lambda home, environ: ()
    program: str = ""
    ask: Sequence[str] = ()
    opens_with: int = 0
    tools: str = ""
    origins: Tuple[str, ...] = ()
    notes: Callable[[Wiring], Sequence[str]] = lambda wiring: ()

    @property
    def by_hand(self) -> bool:
        """Whether its settings can only be shown."""
        return not self.files(Path("/"), {})


_CHAT = "/v1/chat/completions"
_QUESTION = "Reply with the one word: connected"


def _claude_code(wiring: Wiring) -> Dict[str, Any]:
    models = ("OPUS", "SONNET", "HAIKU")
    lengths = {"MAX_CONTEXT_TOKENS": wiring.context, "MAX_OUTPUT_TOKENS": wiring.output}
    return {
        "env": {
            "ANTHROPIC_BASE_URL": wiring.root,
            "ANTHROPIC_AUTH_TOKEN": wiring.key,
            # Else a key of Anthropic's that it has stored is sent instead.
            "ANTHROPIC_API_KEY": "",
            "ANTHROPIC_MODEL": wiring.model,
            **{f"ANTHROPIC_DEFAULT_{each}_MODEL": wiring.model for each in models},
            "CLAUDE_CODE_SUBAGENT_MODEL": wiring.model,
            # A line that differs from request to request at the prompt's beginning would spoil the engine's cache.
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            # It takes a model that it does not know to hold a million tokens.
            **{f"CLAUDE_CODE_{name}": str(value) for name, value in lengths.items() if value},
        }
    }


def _codex_head(wiring: Wiring) -> Sequence[str]:
    window = [f"model_context_window = {wiring.context}"] if wiring.context else []
    return [f'model = "{wiring.model}"', 'model_provider = "gridtie"', *window]


def _codex_tail(wiring: Wiring) -> Sequence[str]:
    return [
        "[model_providers.gridtie]",
        'name = "Gridtie"',
        f'base_url = "{wiring.openai}"',
        'wire_api = "responses"',
        f'experimental_bearer_token = "{wiring.key}"',
    ]


def _opencode(wiring: Wiring) -> Dict[str, Any]:
    limit = {"limit": {"context": wiring.context, "output": wiring.output}} if wiring.context else {}
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "name": "Gridtie",
        "options": {"baseURL": wiring.openai, "apiKey": wiring.key},
        "models": {wiring.model: {"name": f"{wiring.model} (Gridtie)", **limit}},
    }
    return {
        "$schema": "https://opencode.ai/config.json",
        "provider": {"gridtie": provider},
        "model": f"gridtie/{wiring.model}",
    }


def _cline(wiring: Wiring) -> Dict[str, Any]:
    provider = "openai-compatible"
    settings = {"provider": provider, "apiKey": wiring.key, "model": wiring.model, "baseUrl": wiring.openai}
    return {
        "version": 1,
        "lastUsedProvider": provider,
        # Without a time it takes the whole file for broken and begins anew, with its makers' own provider.
        "providers": {provider: {"settings": settings, "updatedAt": wiring.at, "tokenSource": "manual"}},
    }


def _continue(wiring: Wiring) -> Sequence[str]:
    length = (
        ["  defaultCompletionOptions:", f"    contextLength: {wiring.context}", f"    maxTokens: {wiring.output}"]
        if wiring.context
        else []
    )
    return [
        f"- name: {wiring.model} (Gridtie)",
        "  provider: openai",
        f"  model: {wiring.model}",
        f"  apiBase: {wiring.openai}",
        f"  apiKey: {wiring.key}",
        "  roles: [chat, edit, apply, autocomplete]",
        *length,
    ]


def _aider(wiring: Wiring) -> Sequence[str]:
    return [
        f"model: openai/{wiring.model}",
        f"openai-api-base: {wiring.openai}",
        f"openai-api-key: {wiring.key}",
        # It knows no price and no length of an alias, and says so at each start.
        "show-model-warnings: false",
    ]


def _llm(wiring: Wiring) -> Sequence[str]:
    return [
        f"- model_id: gridtie/{wiring.model}",
        f"  model_name: {wiring.model}",
        f"  api_base: {wiring.openai}",
        "  api_key_name: gridtie",
        "  supports_tools: true",
        "  supports_schema: true",
    ]


def _openai(wiring: Wiring) -> Dict[str, str]:
    # Programs of before 2024 read the second name alone.
    return {"OPENAI_BASE_URL": wiring.openai, "OPENAI_API_BASE": wiring.openai, "OPENAI_API_KEY": wiring.key}


def _anthropic(wiring: Wiring) -> Dict[str, str]:
    return {"ANTHROPIC_BASE_URL": wiring.root, "ANTHROPIC_AUTH_TOKEN": wiring.key}


def _ollama(wiring: Wiring) -> Dict[str, str]:
    # aider, and whatever else asks by litellm, reads the second name alone.
    return {"OLLAMA_HOST": wiring.root, "OLLAMA_API_BASE": wiring.root, "OLLAMA_API_KEY": wiring.key}


def _open_webui(wiring: Wiring) -> Dict[str, str]:
    return {
        "OPENAI_API_BASE_URLS": wiring.openai,
        "OPENAI_API_KEYS": wiring.key,
        "ENABLE_OLLAMA_API": "false",
        # Else what it was started with first stays, whatever these say later.
        "ENABLE_PERSISTENT_CONFIG": "false",
    }


def _sourced(name: str, values: Callable[[Wiring], Mapping[str, str]]) -> Callable[[Path, Environ], Any]:
    def files(home: Path, environ: Environ) -> Sequence[Tuple[Path, Format]]:
        return [(_config(home, environ) / "gridtie" / "connect" / f"{name}.env", Variables(values))]

    return files


def _config(home: Path, environ: Environ) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config")


def _llm_files(home: Path, environ: Environ) -> Sequence[Tuple[Path, Format]]:
    named = environ.get("LLM_USER_PATH")
    usual = home / "Library/Application Support" if sys.platform == "darwin" else _config(home, environ)
    directory = Path(named) if named else usual / "io.datasette.llm"
    return [
        (directory / "keys.json", Json(lambda wiring: {"gridtie": wiring.key})),
        (directory / "extra-openai-models.yaml", Lines(lambda wiring: (), _llm)),
    ]


def _source_it(name: str) -> Callable[[Wiring], Sequence[str]]:
    def notes(_: Wiring) -> Sequence[str]:
        file = f"{os.environ.get('XDG_CONFIG_HOME') or '~/.config'}/gridtie/connect/{name}.env"
        return (f"In the shell that starts the program, or in ~/.profile:  . {file}",)

    return notes


def _editor(steps: str) -> Callable[[Wiring], Sequence[str]]:
    return lambda wiring: (
        steps,
        f"base URL  {wiring.openai}",
        f"model     {wiring.model}" + (f" ({wiring.context:,} tokens of context)" if wiring.context else ""),
        f"key       {_key_to_type(wiring)}",
    )


def _key_to_type(wiring: Wiring) -> str:
    """Where it was made for this client alone it is shown now, and cannot be shown again."""
    if wiring.key_name:
        return f"{wiring.key} (its own, {wiring.key_name})"
    return "the line in ~/.config/gridtie/key, or one of its own: sudo gridtie keys add NAME --environment dev"


CLIENTS: Tuple[Client, ...] = (
    Client(
        name="claude-code",
        title="Claude Code",
        path="/v1/messages",
        files=lambda home, environ: [
            (Path(environ.get("CLAUDE_CONFIG_DIR") or home / ".claude") / "settings.json", Json(_claude_code))
        ],
        program="claude",
        ask=("-p", _QUESTION),
        opens_with=18_000,
        tools="with each request",
    ),
    Client(
        name="codex",
        title="Codex",
        path="/v1/responses",
        files=lambda home, environ: [
            (
                Path(environ.get("CODEX_HOME") or home / ".codex") / "config.toml",
                Toml(
                    _codex_head,
                    _codex_tail,
                    # A profile has a model and a provider of its own.
                    replaces=("model", "model_provider", "model_context_window", "profile"),
                    table=("model_providers", "gridtie"),
                ),
            )
        ],
        program="codex",
        ask=("exec", "--skip-git-repo-check", "--sandbox", "read-only", _QUESTION),
        opens_with=9_000,
        tools="with each request",
    ),
    Client(
        name="opencode",
        title="opencode",
        path=_CHAT,
        files=lambda home, environ: [
            (_config(home, environ) / "opencode" / "opencode.json", Json(_opencode, ("provider", "gridtie")))
        ],
        program="opencode",
        ask=("run", _QUESTION),
        opens_with=7_000,
        tools="with each request",
    ),
    Client(
        name="cline",
        title="Cline",
        path=_CHAT,
        files=lambda home, environ: [
            (home / ".cline/data/settings/providers.json", Json(_cline, ("providers", "openai-compatible")))
        ],
        program="cline",
        ask=("-p", "--timeout", "300", _QUESTION),
        opens_with=5_000,
        tools="with each request",
    ),
    Client(
        name="continue",
        title="Continue",
        path=_CHAT,
        files=lambda home, environ: [
            (
                Path(environ.get("CONTINUE_GLOBAL_DIR") or home / ".continue") / "config.yaml",
                YamlList("models", _continue, fresh=("name: Local", "version: 1.0.0", "schema: v1")),
            )
        ],
        program="cn",
        ask=("-p", _QUESTION),
        opens_with=1_500,
        tools="as an agent, which its command always is",
    ),
    Client(
        name="aider",
        title="aider",
        path=_CHAT,
        files=lambda home, environ: [
            (
                home / ".aider.conf.yml",
                Lines(_aider, replaces=("model", "openai-api-base", "openai-api-key", "show-model-warnings")),
            )
        ],
        program="aider",
        ask=("--no-git", "--yes-always", "--no-show-release-notes", "--no-check-update", "--message", _QUESTION),
        opens_with=1_000,
    ),
    Client(
        name="llm",
        title="llm",
        path=_CHAT,
        files=_llm_files,
        program="llm",
        ask=("-m", "gridtie/{model}", _QUESTION),
        notes=lambda wiring: (f'llm -m gridtie/{wiring.model} "..."',),
    ),
    Client(
        name="ollama",
        title="ollama's SDKs",
        path="/api/chat",
        files=_sourced("ollama", _ollama),
        notes=lambda wiring: (
            *_source_it("ollama")(wiring),
            "The ollama command itself sends no key; the SDKs send OLLAMA_API_KEY.",
            f"aider by this interface:  aider --model ollama_chat/{wiring.model}",
        ),
    ),
    Client(
        name="openai",
        title="OpenAI's SDKs",
        path=_CHAT,
        files=_sourced("openai", _openai),
        notes=_source_it("openai"),
    ),
    Client(
        name="anthropic",
        title="Anthropic's SDKs",
        path="/v1/messages",
        files=_sourced("anthropic", _anthropic),
        notes=_source_it("anthropic"),
    ),
    Client(
        name="langchain",
        title="LangChain",
        path=_CHAT,
        files=_sourced("langchain", _openai),
        notes=_source_it("langchain"),
    ),
    Client(
        name="open-webui",
        title="Open WebUI",
        path=_CHAT,
        files=_sourced("open-webui", _open_webui),
        # For direct connections, which the browser makes itself; `open-webui serve` listens there.
        origins=("http://localhost:8080",),
        notes=lambda wiring: (
            *_source_it("open-webui")(wiring),
            "In a container:  the same names by docker run -e NAME ..., and an address that the container reaches.",
        ),
    ),
    Client(
        name="zed",
        title="Zed",
        path=_CHAT,
        notes=_editor('In settings.json, "language_models": {"openai_compatible": {"Gridtie": {"api_url": ...}}}:'),
    ),
    Client(
        name="vscode",
        title="VS Code",
        path=_CHAT,
        notes=_editor("Chat: Manage Language Models, OpenAI Compatible:"),
    ),
    Client(
        name="jetbrains",
        title="JetBrains AI Assistant",
        path=_CHAT,
        notes=_editor("Settings, Tools, AI Assistant, Models, OpenAI-compatible:"),
    ),
    Client(
        name="obsidian",
        title="Obsidian",
        path=_CHAT,
        notes=_editor("In the plugin's settings, a provider that is OpenAI-compatible, with CORS:"),
        # What its plugins send that stream; the desktop's, not a telephone's.
        origins=("app://obsidian.md",),
    ),
    Client(name="n8n", title="n8n", path=_CHAT, notes=_editor("Credentials, OpenAI, Base URL:")),
)


BY_NAME: Mapping[str, Client] = {each.name: each for each in CLIENTS}
