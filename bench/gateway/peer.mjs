// The smallest honest gateway on Slack's official Node SDK that does the same permission flow as
// codev-gateway: bridge WebSocket → chat.postMessage with buttons → click → ack → permission.reply →
// chat.update. It keeps what it knows in memory and stores nothing.
import http from "node:http";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tests/fakes/slack/package.json", import.meta.url));
const { SocketModeClient, LogLevel } = require("@slack/socket-mode");
const { WebClient } = require("@slack/web-api");
const { WebSocketServer } = require("ws");

const { SLACK_API_URL: slackApiUrl, SLACK_BOT_TOKEN, SLACK_APP_TOKEN, SLACK_CHANNEL_ID: channel, PORT } = process.env;
const clientOptions = { slackApiUrl };
const web = new WebClient(SLACK_BOT_TOKEN, { ...clientOptions, logLevel: LogLevel.ERROR });
const socket = new SocketModeClient({ appToken: SLACK_APP_TOKEN, clientOptions, logLevel: LogLevel.ERROR });

const sessions = new Map(); // id → { title, status, thread, parts, events }
const requests = new Map(); // id → { session, ts, decided }
let bridge;
let serial = 0;
let seen = 0;
let acked = 0;
const send = (frame) => bridge?.send(JSON.stringify(frame));

function session(id) {
  if (!sessions.has(id)) sessions.set(id, { title: id, status: "idle", thread: undefined, parts: new Map() });
  return sessions.get(id);
}

async function ask(event) {
  const { permission } = event;
  const s = session(event.session_id);
  const button = (text, action) => ({ type: "button", text: { type: "plain_text", text }, action_id: action, value: permission.id });
  requests.set(permission.id, { session: event.session_id });
  const command = permission.metadata.command;
  const { ts } = await web.chat.postMessage({
    channel,
    thread_ts: s.thread,
    text: `Run ${command}`,
    blocks: [
      { type: "section", text: { type: "mrkdwn", text: `*Run a command*\n\`\`\`${command}\`\`\`` } },
      { type: "actions", elements: [button("Allow once", "allow_once"), button("Always allow", "allow_always"), button("Deny", "deny")] },
    ],
  });
  s.thread ??= ts;
  requests.get(permission.id).ts = ts;
}

async function settled(event) {
  const request = requests.get(event.permission_id);
  requests.delete(event.permission_id);
  if (request) await web.chat.update({ channel, ts: request.ts, text: `Allowed by <@${request.decided}>`, blocks: [{ type: "section", text: { type: "mrkdwn", text: `Allowed once by <@${request.decided}>` } }] });
}

function take(event) {
  seen = Math.max(seen, event.seq);
  switch (event.type) {
    case "session.created":
      session(event.session_id).title = event.session.title;
      return undefined;
    case "session.active":
    case "session.idle":
      session(event.session_id).status = event.type;
      return undefined;
    case "message.part.streamed":
      session(event.session_id).parts.set(event.part_id, { text: event.content, final: event.final });
      return undefined;
    case "permission.asked":
      return ask(event);
    case "permission.replied":
      return settled(event);
    default:
      return undefined;
  }
}

const server = http.createServer((request, response) => response.end("{}"));
new WebSocketServer({ server }).on("connection", (ws) => {
  bridge = ws;
  ws.on("message", (data) => {
    const frame = JSON.parse(data);
    if (frame.type === "hello") send({ type: "welcome", protocol: 1, gateway_version: "peer", resume_after: 0 });
    else if (frame.seq !== undefined) Promise.resolve(take(frame)).catch((e) => console.error(e.message));
  });
});
setInterval(() => {
  if (seen > acked) send({ type: "ack", seq: (acked = seen) });
}, 50);

socket.on("interactive", async ({ body, ack }) => {
  await ack();
  const [action] = body.actions ?? [];
  const request = requests.get(action?.value);
  if (!request || request.decided) return;
  request.decided = body.user.id;
  send({ type: "permission.reply", request_id: `r${++serial}`, permission_id: action.value, reply: "once" });
});
socket.on("message", async ({ event, ack }) => {
  await ack();
  const found = [...sessions].find(([, s]) => s.thread && s.thread === event.thread_ts);
  if (found) send({ type: "session.message", request_id: `r${++serial}`, session_id: found[0], text: event.text });
});
server.listen(Number(PORT), "127.0.0.1", async () => {
  await socket.start();
  console.log("ready");
});
