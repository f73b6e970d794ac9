#!/usr/bin/env node
// Scripted stand-in for an OpenAI-compatible chat-completions endpoint, for offline tests.
import http from "node:http";
import fs from "node:fs";
import { fileURLToPath } from "node:url";

const HELP = `usage: node server.mjs [port] [host]          (default 127.0.0.1:8099; port 0: any free one)

A stand-in for an OpenAI-compatible chat-completions endpoint that plays scripts.
  FAKE_LLM_DEFAULT_SCRIPT=...   the script of a user message that holds none (else: echo)
  FAKE_LLM_TITLE=...            the answer to a request that offers no tools (else: "Fake title")
  FAKE_LLM_LOG=file.jsonl       append every request body to a file

The newest user message that holds "@@" lines is the script. "@@then" separates turns; the turn
to play is the number of assistant messages which follow that user message.
  @@text WORDS        stream text
  @@tool NAME JSON    emit a tool call (several in one turn = parallel calls)
  @@file PATH         stream the contents of a file
  @@result            stream what the newest tool call gave, as a code block
  @@reason WORDS      stream reasoning text
  @@delay MS          wait before going on
  @@slow N MS         stream N words, one each MS
  @@status CODE       answer with that HTTP status
  @@hang              send headers and one chunk, then nothing more
  @@drop              cut the connection in the middle of the stream
After the last turn the answer is "Done." Without a script it is an echo of the user message.
Requests that offer no tools (session titles, summaries) get the title.
`;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let serial = 0;

const textOf = (content) =>
  typeof content === "string"
    ? content
    : (content ?? []).map((part) => part.text ?? "").join("\n");

function plan(body) {
  const messages = body.messages ?? [];
  if (!body.tools?.length) return [["text", process.env.FAKE_LLM_TITLE ?? "Fake title"]];
  let at = messages.length - 1;
  while (at >= 0 && !(messages[at].role === "user" && /^@@/m.test(textOf(messages[at].content)))) at--;
  const fallback = process.env.FAKE_LLM_DEFAULT_SCRIPT;
  if (at < 0 && fallback) at = messages.findLastIndex((m) => m.role === "user");
  else if (at < 0) {
    const user = messages.filter((m) => m.role === "user").at(-1);
    return [["text", `You said: ${textOf(user?.content).slice(0, 200)}`]];
  }
  const turn = messages.slice(at + 1).filter((m) => m.role === "assistant").length;
  const script = /^@@/m.test(textOf(messages[at].content)) ? textOf(messages[at].content) : fallback;
  const lines = script.split("\n").filter((l) => l.startsWith("@@"));
  const turns = [[]];
  for (const line of lines) {
    const [, verb, rest] = /^@@(\w+)\s*(.*)$/.exec(line) ?? [];
    if (verb === "then") turns.push([]);
    else if (verb) turns.at(-1).push([verb, rest]);
  }
  return turns[turn] ?? [["text", "Done."]];
}

async function answer(res, body) {
  const id = `chatcmpl-${++serial}`;
  const steps = plan(body);
  const failure = steps.find(([verb]) => verb === "status");
  if (failure) {
    res.writeHead(Number(failure[1]), { "content-type": "application/json" });
    return res.end(JSON.stringify({ error: { message: "scripted failure", type: Number(failure[1]) < 500 ? "invalid_request_error" : "server_error" } }));
  }
  res.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-cache" });
  const head = { id, object: "chat.completion.chunk", created: Math.floor(Date.now() / 1000), model: body.model };
  const send = (delta, finish = null, usage) =>
    res.write(`data: ${JSON.stringify({ ...head, choices: [{ index: 0, delta, finish_reason: finish }], ...(usage && { usage }) })}\n\n`);
  send({ role: "assistant", content: "" });
  let calls = 0;
  for (const [verb, rest] of steps) {
    if (res.destroyed) return;
    if (verb === "text") for (const word of rest.split(/(?<=\s)/)) send({ content: word });
    else if (verb === "file") for (const piece of fs.readFileSync(rest, "utf8").match(/[^]{1,200}/g) ?? []) send({ content: piece });
    else if (verb === "result") {
      const result = textOf((body.messages ?? []).findLast((m) => m.role === "tool")?.content);
      send({ content: `\n\n\`\`\`\n${result.trimEnd()}\n\`\`\`\n\n` });
    } else if (verb === "reason") send({ reasoning_content: rest });
    else if (verb === "delay") await sleep(Number(rest));
    else if (verb === "slow") {
      const [count, ms] = rest.split(/\s+/).map(Number);
      for (let i = 0; i < count && !res.destroyed; i++) {
        send({ content: `word${i} ` });
        await sleep(ms);
      }
    } else if (verb === "tool") {
      const [, name, args] = /^(\S+)\s*(.*)$/.exec(rest);
      const index = calls++;
      send({ tool_calls: [{ index, id: `call_${serial}_${index}`, type: "function", function: { name, arguments: "" } }] });
      send({ tool_calls: [{ index, function: { arguments: args || "{}" } }] });
    } else if (verb === "hang") return;
    else if (verb === "drop") return res.destroy();
  }
  send({}, calls ? "tool_calls" : "stop", { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 });
  res.end("data: [DONE]\n\n");
}

// The server, not listening yet.
export function createFakeModel() {
  return http.createServer((req, res) => {
    let raw = "";
    req.on("data", (chunk) => (raw += chunk));
    req.on("end", () => {
      if (req.method === "GET") {
        res.writeHead(200, { "content-type": "application/json" });
        return res.end(JSON.stringify({ object: "list", data: [{ id: "fake-1", object: "model" }] }));
      }
      let body = {};
      try {
        body = JSON.parse(raw || "{}");
      } catch {
        res.writeHead(400);
        return res.end();
      }
      const log = process.env.FAKE_LLM_LOG;
      const note = (entry) => log && fs.appendFileSync(log, JSON.stringify({ time: Date.now(), ...entry }) + "\n");
      note({ url: req.url, headers: req.headers, body });
      res.on("close", () => !res.writableFinished && note({ closedEarly: true }));
      answer(res, body).catch(() => res.destroy());
    });
  });
}

function main([first, second]) {
  if (first === "--help" || first === "-h") return process.stdout.write(HELP);
  const port = Number(first ?? 8099);
  const host = second ?? "127.0.0.1";
  if (!Number.isInteger(port) || port < 0 || port > 65535) {
    process.stderr.write(`not a port: ${first}\n${HELP}`);
    process.exitCode = 2;
    return;
  }
  createFakeModel()
    .on("error", (e) => {
      process.stderr.write(`fake LLM: ${e.message}\n`);
      process.exit(1);
    })
    .listen(port, host, function () {
      console.log(`fake LLM on http://${host}:${this.address().port}/v1`);
    });
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) main(process.argv.slice(2));
