"""Driver of the official SDKs for Python."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import httpx
import ollama
import openai

from clients.talk import DESCRIPTION, LIMIT, PARAMETERS, Call, Said, serve

Job = dict[str, Any]
SHORT = {"name": "add", "description": DESCRIPTION}
# The SDK's own helpers take an answer that came to its limit for none.
_ENDED = ("response.completed", "response.incomplete")


def _limit(job: Job) -> int:
    return int(job.get("limit", LIMIT))


def _offered(job: Job, tool: dict[str, Any]) -> dict[str, Any]:
    return {"tools": [tool]} if job.get("tools", True) else {}


def _tries(job: Job) -> dict[str, int]:
    return {} if job.get("fresh_tries", True) else {"max_retries": 0}


def _openai(job: Job) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=f"{job['root']}/v1", api_key=job["key"], http_client=http, **_tries(job))


class Chat:
    def __init__(self, job: Job) -> None:
        self.client, self.streamed = _openai(job), job["streamed"]
        self.messages: list[Any] = []
        tool = {"type": "function", "function": SHORT | {"parameters": PARAMETERS}}
        self.asked: Any = {"model": job["model"], "messages": self.messages} | _offered(job, tool)
        self.asked["max_tokens"] = _limit(job)

    def say(self, text: str) -> Said:
        self.messages.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: list[tuple[Call, str]]) -> Said:
        self.messages += [{"role": "tool", "tool_call_id": call.id, "content": text} for call, text in results]
        return self._ask()

    def _ask(self) -> Said:
        if self.streamed:
            with self.client.chat.completions.stream(**self.asked) as stream:
                try:
                    answer = stream.get_final_completion()
                except openai.LengthFinishReasonError as error:
                    answer = error.completion
            message: Any = answer.choices[0].message
        else:
            message = self.client.chat.completions.create(**self.asked).choices[0].message
        self.messages.append(message.to_dict())
        calls = message.tool_calls or ()
        return Said(
            message.content or "",
            [Call(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls],
        )


class Responses:
    def __init__(self, job: Job) -> None:
        self.client, self.streamed = _openai(job), job["streamed"]
        self.items: list[Any] = []
        tool = SHORT | {"type": "function", "parameters": PARAMETERS, "strict": False}
        self.asked: Any = {"model": job["model"], "input": self.items} | _offered(job, tool)
        self.asked["max_output_tokens"] = _limit(job)

    def say(self, text: str) -> Said:
        self.items.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: list[tuple[Call, str]]) -> Said:
        self.items += [
            {"type": "function_call_output", "call_id": call.id, "output": text} for call, text in results
        ]  # fmt: skip
        return self._ask()

    def _ask(self) -> Said:
        if self.streamed:
            with self.client.responses.stream(**self.asked) as stream:
                ended = [event.response for event in stream if event.type in _ENDED]
                answer: Any = ended[0] if ended else stream.get_final_response()
        else:
            answer = self.client.responses.create(**self.asked)
        self.items += [item.to_dict() for item in answer.output]
        calls = [item for item in answer.output if item.type == "function_call"]
        return Said(
            answer.output_text, [Call(call.call_id, call.name, json.loads(call.arguments)) for call in calls]
        )  # fmt: skip


class Messages:
    def __init__(self, job: Job) -> None:
        http = anthropic.DefaultHttpxClient(trust_env=False)
        self.client = anthropic.Anthropic(
            base_url=job["root"], api_key=job["key"], http_client=http, **_tries(job)
        )  # fmt: skip
        self.streamed = job["streamed"]
        self.messages: list[Any] = []
        tool = SHORT | {"input_schema": PARAMETERS}
        self.asked: Any = {"model": job["model"], "max_tokens": _limit(job), "messages": self.messages}
        self.asked |= _offered(job, tool)

    def say(self, text: str) -> Said:
        self.messages.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: list[tuple[Call, str]]) -> Said:
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": text} for call, text in results]
        self.messages.append({"role": "user", "content": blocks})
        return self._ask()

    def _ask(self) -> Said:
        if self.streamed:
            with self.client.messages.stream(**self.asked) as stream:
                message: Any = stream.get_final_message()
        else:
            message = self.client.messages.create(**self.asked)
        self.messages.append({"role": "assistant", "content": message.content})
        text = "".join(block.text for block in message.content if block.type == "text")
        calls = [block for block in message.content if block.type == "tool_use"]
        return Said(text, [Call(call.id, call.name, call.input) for call in calls])


class OllamaChat:
    def __init__(self, job: Job) -> None:
        headers = {"Authorization": f"Bearer {job['key']}"}
        self.client, self.streamed = ollama.Client(job["root"], headers=headers, trust_env=False), job["streamed"]
        self.messages: list[Any] = []
        tool = {"type": "function", "function": SHORT | {"parameters": PARAMETERS}}
        self.asked: Any = {"model": job["model"], "messages": self.messages} | _offered(job, tool)
        self.asked["options"] = {"num_predict": _limit(job)}

    def say(self, text: str) -> Said:
        self.messages.append({"role": "user", "content": text})
        return self._ask()

    def give(self, results: list[tuple[Call, str]]) -> Said:
        self.messages += [{"role": "tool", "tool_name": call.name, "content": text} for call, text in results]
        return self._ask()

    def _ask(self) -> Said:
        text, calls = "", []
        for part in self.client.chat(**self.asked, stream=True) if self.streamed else [self._whole()]:
            text += part.message.content or ""
            calls += part.message.tool_calls or ()
        self.messages.append({"role": "assistant", "content": text, "tool_calls": calls})
        return Said(text, [Call("", call.function.name, dict(call.function.arguments)) for call in calls])

    def _whole(self) -> Any:
        return self.client.chat(**self.asked)


if __name__ == "__main__":
    serve(
        {
            "openai (Python), chat": Chat,
            "openai (Python), responses": Responses,
            "anthropic (Python)": Messages,
            "ollama (Python)": OllamaChat,
        },
        (openai.OpenAIError, anthropic.AnthropicError, ollama.ResponseError, httpx.HTTPError),
    )
