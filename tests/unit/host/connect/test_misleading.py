"""Variables that lead a client elsewhere are found, wherever they were set."""

from __future__ import annotations

from pathlib import Path

from gridtie.host.connect.misleading import leads, only_the_old_name

ROOT = "http://127.0.0.1:8484"


def test_an_address_of_another_server_is_told_by_its_host_alone(tmp_path: Path) -> None:
    found = leads("claude-code", ROOT, {"ANTHROPIC_BASE_URL": "https://me:secret@other.example/v1"}, tmp_path)

    assert [(lead.name, lead.host, lead.where) for lead in found] == [
        ("ANTHROPIC_BASE_URL", "other.example", "this shell")
    ]


def test_the_stations_own_address_leads_nowhere_else(tmp_path: Path) -> None:
    assert leads("openai", ROOT, {"OPENAI_BASE_URL": f"{ROOT}/v1"}, tmp_path) == []
    assert leads("ollama", ROOT, {"OLLAMA_HOST": "localhost:8484"}, tmp_path) == []
    assert leads("ollama", ROOT, {"OLLAMA_HOST": "localhost:11434"}, tmp_path) != []


def test_what_a_shell_will_set_is_found_with_its_line(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").write_text('alias a=b\nexport OPENAI_API_BASE="https://other.example/v1"\n')

    assert leads("aider", ROOT, {}, tmp_path)[0].where == f"{tmp_path / '.bashrc'}:2"


def test_what_the_client_does_not_read_is_not_told(tmp_path: Path) -> None:
    assert leads("claude-code", ROOT, {"OPENAI_BASE_URL": "https://other.example"}, tmp_path) == []


def test_the_old_name_alone_is_not_read_by_the_sdk() -> None:
    assert only_the_old_name("openai", {"OPENAI_API_BASE": "x"})
    assert not only_the_old_name("openai", {"OPENAI_API_BASE": "x", "OPENAI_BASE_URL": "x"})
    assert not only_the_old_name("aider", {"OPENAI_API_BASE": "x"})
