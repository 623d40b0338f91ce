"""Driver of LangChain, which runs in an environment of its own."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx
import ollama
import openai
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_ollama import ChatOllama
from langchain_openai import ChatOpenAI

from clients.talk import DESCRIPTION, LIMIT, PARAMETERS, Call, Said, serve

Job = dict[str, Any]
TOOL = {"type": "function", "function": {"name": "add", "description": DESCRIPTION, "parameters": PARAMETERS}}


class Chain:
    def __init__(self, job: Job, model: Any) -> None:
        self.model, self.streamed = model.bind_tools([TOOL]), job["streamed"]
        self.messages: list[Any] = []

    def say(self, text: str) -> Said:
        self.messages.append(HumanMessage(text))
        return self._ask()

    def give(self, results: list[tuple[Call, str]]) -> Said:
        self.messages += [ToolMessage(text, tool_call_id=call.id, name=call.name) for call, text in results]
        return self._ask()

    def _ask(self) -> Said:
        if self.streamed:
            first, *rest = self.model.stream(self.messages)
            answer = sum(rest, first)
        else:
            answer = self.model.invoke(self.messages)
        self.messages.append(answer)
        return Said(answer.text, [Call(call["id"], call["name"], call["args"]) for call in answer.tool_calls])


def _tries(job: Job) -> dict[str, int]:
    return {} if job.get("fresh_tries", True) else {"max_retries": 0}


def _openai(job: Job, **more: Any) -> Chain:
    place = {"base_url": f"{job['root']}/v1", "api_key": job["key"]}
    limit = job.get("limit", LIMIT)
    return Chain(job, ChatOpenAI(model=job["model"], max_tokens=limit, **place, **more, **_tries(job)))


def _responses(job: Job) -> Chain:
    return _openai(job, use_responses_api=True)


def _anthropic(job: Job) -> Chain:
    place = {"base_url": job["root"], "api_key": job["key"]}
    return Chain(job, ChatAnthropic(model=job["model"], max_tokens=job.get("limit", LIMIT), **place, **_tries(job)))


def _ollama(job: Job) -> Chain:
    place = {"base_url": job["root"], "client_kwargs": {"headers": {"Authorization": f"Bearer {job['key']}"}}}
    return Chain(job, ChatOllama(model=job["model"], num_predict=job.get("limit", LIMIT), **place))


if __name__ == "__main__":
    serve(
        {
            "LangChain, OpenAI chat": _openai,
            "LangChain, OpenAI responses": _responses,
            "LangChain, Anthropic": _anthropic,
            "LangChain, Ollama": _ollama,
        },
        (openai.OpenAIError, anthropic.AnthropicError, ollama.ResponseError, httpx.HTTPError),
    )
