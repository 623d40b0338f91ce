"""An engine with one model that can be made to go wrong in one way: Ollama's native API, a word being a token."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from standins.loopback import on_loopback

NAME = "gridtie/coder:1b"
MIB = 1 << 20


@dataclass
class ModelEngine:
    """What the model does. `keeps` is how many words of a prompt it sees at most, the last ones; `wrong_calls` how many
    of its calls are prose; `seconds` how long each answer takes.
    """

    url: str
    context: int = 4096
    keeps: int = 1 << 30
    finds: bool = True
    schema: bool = True
    wrong_calls: int = 0
    reserved: int = 300 * MIB
    seconds: float = 0.0
    vectors: dict[str, list[float]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, body: Any) -> Any:
        self.asked.append(path)
        time.sleep(self.seconds)
        if path == "/api/ps":
            return {"models": [{"name": NAME, "size": self.reserved, "context_length": self.context}]}
        if path == "/api/embed":
            return {"embeddings": [self.vectors[t] for t in body["input"]], "prompt_eval_count": _words(body["input"])}
        if path == "/api/generate":
            return {"response": self._says(body, body["prompt"]), "prompt_eval_count": self._read(body["prompt"])}
        text = " ".join(message["content"] for message in body["messages"])
        message: dict[str, Any] = {"role": "assistant", "content": self._says(body, text)}
        if body.get("tools"):
            message |= self._call(body["tools"])
        return {"message": message, "prompt_eval_count": self._read(text)}

    def _read(self, text: str) -> int:
        return min(self.keeps, _words([text])) + 5

    def _says(self, body: Any, text: str) -> str:
        if "suffix" in body:
            return "a + b"
        if body.get("format"):
            return '{"city": "Kiel", "size": "small", "coast": true}' if self.schema else "Kiel is a small city."
        seen = " ".join(text.split()[-self.keeps :])
        found = seen.partition("code word of this text is ")[2].partition(".")[0]
        return found if self.finds and "What is the code word" in seen else "Hello."

    def _call(self, tools: Any) -> dict[str, Any]:
        if self.wrong_calls:
            self.wrong_calls -= 1
            return {"content": "I would read the file."}
        function = tools[0]["function"]
        values = {"string": "x", "integer": 1, "boolean": True}
        arguments = {name: values[each["type"]] for name, each in function["parameters"]["properties"].items()}
        return {"tool_calls": [{"function": {"name": function["name"], "arguments": arguments}}]}


@contextmanager
def serving() -> Iterator[ModelEngine]:
    """It on a free port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            content = json.dumps(engine.answer(self.path, body)).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with on_loopback(Handler) as port:
        engine = ModelEngine(f"http://127.0.0.1:{port}")
        yield engine


def _words(texts: list[str]) -> int:
    return sum(len(text.split()) for text in texts)
