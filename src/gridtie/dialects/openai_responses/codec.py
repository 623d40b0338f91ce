"""OpenAI's responses for each kind of target. Clients alone speak them: every target is asked for a chat."""

from __future__ import annotations

from gridtie.dialects.openai_chat.codec import OPENAI_CHAT
from gridtie.dialects.openai_responses.answer_writer import EventWriter, WholeWriter
from gridtie.dialects.openai_responses.read import read
from gridtie.dialects.package import spoken_by_clients

OPENAI_RESPONSES = spoken_by_clients("openai-responses", OPENAI_CHAT, read, EventWriter, WholeWriter)
