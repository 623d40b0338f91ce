// Driver of the SDKs for Node: jobs and answers as tests/clients/talk.py says. NODE_PATH leads to the packages.
const readline = require("node:readline");
const { OpenAI } = require("openai");
const { Anthropic } = require("@anthropic-ai/sdk");
const { Ollama } = require("ollama");
const { generateText, streamText, tool, jsonSchema, isStepCount } = require("ai");
const { createOpenAI } = require("@ai-sdk/openai");
const { createAnthropic } = require("@ai-sdk/anthropic");
const { createOpenAICompatible } = require("@ai-sdk/openai-compatible");

const MOST_ROUNDS = 4;
const name = "add";
const description = "Adds two whole numbers.";
const parameters = {
  type: "object",
  properties: { a: { type: "integer" }, b: { type: "integer" } },
  required: ["a", "b"],
};
const add = ({ a, b }) => String(a + b);
const limit = (job) => job.limit ?? 300;
const tries = (job) => (job.fresh_tries === false ? { maxRetries: 0 } : {});

class Chat {
  constructor(job) {
    this.client = new OpenAI({ baseURL: `${job.root}/v1`, apiKey: job.key, ...tries(job) });
    this.streamed = job.streamed;
    this.asked = {
      model: job.model,
      max_tokens: limit(job),
      tools: [{ type: "function", function: { name, description, parameters } }],
      messages: [],
    };
  }
  say(text) {
    this.asked.messages.push({ role: "user", content: text });
    return this.ask();
  }
  give(results) {
    for (const [call, content] of results) this.asked.messages.push({ role: "tool", tool_call_id: call.id, content });
    return this.ask();
  }
  async ask() {
    const api = this.client.chat.completions;
    const answer = this.streamed ? await api.stream(this.asked).finalChatCompletion() : await api.create(this.asked);
    const { message } = answer.choices[0];
    this.asked.messages.push(message);
    const calls = (message.tool_calls ?? []).map((call) => ({
      id: call.id,
      name: call.function.name,
      arguments: JSON.parse(call.function.arguments),
    }));
    return { text: message.content ?? "", calls };
  }
}

class Responses {
  constructor(job) {
    this.client = new OpenAI({ baseURL: `${job.root}/v1`, apiKey: job.key, ...tries(job) });
    this.streamed = job.streamed;
    this.asked = {
      model: job.model,
      tools: [{ type: "function", name, description, parameters, strict: false }],
      max_output_tokens: limit(job),
      input: [],
    };
  }
  say(text) {
    this.asked.input.push({ role: "user", content: text });
    return this.ask();
  }
  give(results) {
    for (const [call, output] of results)
      this.asked.input.push({ type: "function_call_output", call_id: call.id, output });
    return this.ask();
  }
  async ask() {
    const api = this.client.responses;
    const answer = this.streamed ? await api.stream(this.asked).finalResponse() : await api.create(this.asked);
    this.asked.input.push(...answer.output);
    const calls = answer.output
      .filter((item) => item.type === "function_call")
      .map((item) => ({ id: item.call_id, name: item.name, arguments: JSON.parse(item.arguments) }));
    return { text: answer.output_text, calls };
  }
}

class Messages {
  constructor(job) {
    this.client = new Anthropic({ baseURL: job.root, apiKey: job.key, ...tries(job) });
    this.streamed = job.streamed;
    this.asked = {
      model: job.model,
      max_tokens: limit(job),
      tools: [{ name, description, input_schema: parameters }],
      messages: [],
    };
  }
  say(text) {
    this.asked.messages.push({ role: "user", content: text });
    return this.ask();
  }
  give(results) {
    const content = results.map(([call, text]) => ({ type: "tool_result", tool_use_id: call.id, content: text }));
    this.asked.messages.push({ role: "user", content });
    return this.ask();
  }
  async ask() {
    const api = this.client.messages;
    const message = this.streamed ? await api.stream(this.asked).finalMessage() : await api.create(this.asked);
    this.asked.messages.push({ role: "assistant", content: message.content });
    const text = message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
    const calls = message.content
      .filter((block) => block.type === "tool_use")
      .map((block) => ({ id: block.id, name: block.name, arguments: block.input }));
    return { text, calls };
  }
}

class OllamaChat {
  constructor(job) {
    this.client = new Ollama({ host: job.root, headers: { Authorization: `Bearer ${job.key}` } });
    this.streamed = job.streamed;
    this.asked = {
      model: job.model,
      options: { num_predict: limit(job) },
      tools: [{ type: "function", function: { name, description, parameters } }],
      messages: [],
    };
  }
  say(text) {
    this.asked.messages.push({ role: "user", content: text });
    return this.ask();
  }
  give(results) {
    for (const [call, content] of results)
      this.asked.messages.push({ role: "tool", tool_name: call.name, content });
    return this.ask();
  }
  async ask() {
    const answer = await this.client.chat({ ...this.asked, stream: this.streamed });
    let text = "";
    const tool_calls = [];
    for await (const part of this.streamed ? answer : [answer]) {
      text += part.message.content ?? "";
      tool_calls.push(...(part.message.tool_calls ?? []));
    }
    this.asked.messages.push({ role: "assistant", content: text, tool_calls });
    const calls = tool_calls.map((call) => ({ name: call.function.name, arguments: call.function.arguments }));
    return { text, calls };
  }
}

// The AI SDK calls tools and asks again by itself.
class Sdk {
  constructor(job, model) {
    Object.assign(this, { job, model, messages: [], made: [] });
    this.tools = { add: tool({ description, inputSchema: jsonSchema(parameters), execute: async (asked) => add(asked) }) };
  }
  async say(text) {
    this.messages.push({ role: "user", content: text });
    let failed;
    const asked = {
      model: this.model,
      messages: this.messages,
      tools: this.tools,
      maxOutputTokens: limit(this.job),
      stopWhen: isStepCount((this.job.rounds ?? MOST_ROUNDS) + 1),
      // Otherwise it refers to items that it takes OpenAI to keep.
      providerOptions: { openai: { store: false } },
      onError: ({ error }) => { failed ??= error; },
      ...tries(this.job),
    };
    const answer = this.job.streamed ? streamText(asked) : await generateText(asked);
    if (this.job.streamed) await answer.consumeStream({ onError: (error) => { failed ??= error; } });
    if (failed) throw failed;
    this.messages.push(...(await answer.response).messages);
    for (const step of await answer.steps)
      this.made.push(...step.toolCalls.map((call) => [call.toolName, call.input]));
    return { text: await answer.text, calls: [] };
  }
}

const TALKS = {
  "openai (Node), chat": (job) => new Chat(job),
  "openai (Node), responses": (job) => new Responses(job),
  "anthropic (Node)": (job) => new Messages(job),
  "ollama (Node)": (job) => new OllamaChat(job),
  "AI SDK, openai-compatible": (job) =>
    new Sdk(job, createOpenAICompatible({ name: "x", baseURL: `${job.root}/v1`, apiKey: job.key })(job.model)),
  "AI SDK, openai": (job) => new Sdk(job, createOpenAI({ baseURL: `${job.root}/v1`, apiKey: job.key })(job.model)),
  "AI SDK, anthropic": (job) =>
    new Sdk(job, createAnthropic({ baseURL: `${job.root}/v1`, apiKey: job.key })(job.model)),
};

async function converse(talk, turns, rounds) {
  const texts = [];
  const made = [];
  for (const turn of turns) {
    let said = await talk.say(turn);
    for (let round = 0; said.calls.length && round < rounds; round += 1) {
      made.push(...said.calls.map((call) => [call.name, call.arguments]));
      said = await talk.give(said.calls.map((call) => [call, add(call.arguments)]));
    }
    texts.push(said.text);
  }
  return { said: texts, calls: [...made, ...(talk.made ?? [])] };
}

function told(error) {
  const last = error.lastError ?? error;
  const status = last.statusCode ?? last.status_code ?? last.status ?? null;
  return { status, message: String(last.message), kind: last.name };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const job = JSON.parse(line);
    let answer;
    try {
      answer = await converse(TALKS[job.name](job), job.turns, job.rounds ?? MOST_ROUNDS);
    } catch (error) {
      answer = error instanceof ReferenceError ? { broken: error.stack } : { error: told(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
})();
