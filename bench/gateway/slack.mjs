// As much of Slack as both gateways need, with the time of each call: in the bench's own process, so
// that one clock measures all.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import https from "node:https";
import path from "node:path";
import { createRequire } from "node:module";

const require = createRequire(new URL("../../tests/fakes/slack/package.json", import.meta.url));
const { WebSocketServer } = require("ws");

const SCOPES = "app_mentions:read,channels:history,channels:read,chat:write,commands,files:write,groups:history,groups:read,im:history,im:read,im:write,reactions:write,users:read,mpim:history";

// As in production all goes over TLS. The certificate is its own authority, in `folder`.
function certificate(folder) {
  const [key, cert] = ["key.pem", "cert.pem"].map((name) => path.join(folder, name));
  const args = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost"];
  execFileSync("openssl", [...args, "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert], { stdio: "ignore" });
  return { key: fs.readFileSync(key), cert: fs.readFileSync(cert), file: cert };
}

export async function startSlack(folder) {
  const tls = certificate(folder);
  const slack = { ca: tls.file, onCall: () => {}, acks: new Map(), socket: undefined };
  let serial = 0;
  const answers = {
    "auth.test": () => ({ url: "https://bench.slack.com/", team: "Bench", user: "bot", team_id: "T0BENCH0001", user_id: "U0BOT000001", bot_id: "B0BOT000001" }),
    "apps.connections.open": () => ({ url: `wss://localhost:${slack.port}/link` }),
    "conversations.info": () => ({ channel: { id: "C0DEV000001", name: "dev", is_member: true, is_channel: true } }),
    "conversations.members": () => ({ members: ["U0ALICE0001"], response_metadata: { next_cursor: "" } }),
    "chat.postMessage": (body) => {
      const ts = `${Math.floor(Date.now() / 1000)}.${String(++serial).padStart(6, "0")}`;
      return { channel: body.channel, ts, message: { ts, text: body.text } };
    },
    "chat.update": (body) => ({ channel: body.channel, ts: body.ts, text: body.text }),
  };
  const server = https.createServer(tls, (request, response) => {
    const at = performance.now();
    const method = request.url.split("?")[0].split("/").at(-1);
    let raw = "";
    request.on("data", (piece) => (raw += piece));
    request.on("end", () => {
      let body = {};
      if (/json/.test(request.headers["content-type"] ?? "")) body = JSON.parse(raw || "{}");
      else {
        body = Object.fromEntries(new URLSearchParams(raw));
        if (typeof body.blocks === "string") body.blocks = JSON.parse(body.blocks);
      }
      const answer = { ok: true, ...(answers[method]?.(body) ?? { messages: [], has_more: false }) };
      response.writeHead(200, { "content-type": "application/json; charset=utf-8", "x-oauth-scopes": SCOPES });
      response.end(JSON.stringify(answer));
      slack.onCall(method, body, answer, at);
    });
  });
  server.keepAliveTimeout = 120000; // Node's own 5 s would have each call after a pause connect anew
  const sockets = new WebSocketServer({ server, path: "/link" });
  sockets.on("connection", (ws) => {
    slack.socket = ws;
    ws.send(JSON.stringify({ type: "hello", num_connections: 1, debug_info: { host: "bench", approximate_connection_time: 18060 }, connection_info: { app_id: "A0BENCH0001" } }));
    const pings = setInterval(() => ws.ping(`Ping from bench ${Date.now()}`), 10000);
    ws.on("close", () => clearInterval(pings));
    ws.on("message", (data) => {
      const at = performance.now();
      const waiting = slack.acks.get(JSON.parse(data).envelope_id);
      waiting?.(at);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  slack.port = server.address().port;
  slack.api = `https://localhost:${slack.port}/api/`;

  // Resolves with the milliseconds until the ack.
  slack.envelope = (type, payload) =>
    new Promise((done, fail) => {
      const envelope_id = `env-${++serial}`;
      const timer = setTimeout(() => fail(new Error(`${type} was not acknowledged`)), 10000);
      const sent = performance.now();
      slack.acks.set(envelope_id, (at) => {
        clearTimeout(timer);
        slack.acks.delete(envelope_id);
        done(at - sent);
      });
      slack.socket.send(JSON.stringify({ envelope_id, type, payload, accepts_response_payload: type !== "events_api", ...(type === "events_api" && { retry_attempt: 0, retry_reason: "" }) }));
    });
  slack.click = (post, element) =>
    slack.envelope("interactive", {
      ...{ type: "block_actions", api_app_id: "A0BENCH0001", team: { id: "T0BENCH0001", domain: "bench" } },
      user: { id: "U0ALICE0001", username: "alice", name: "alice", team_id: "T0BENCH0001" },
      container: { type: "message", message_ts: post.ts, channel_id: "C0DEV000001", is_ephemeral: false },
      channel: { id: "C0DEV000001", name: "dev" },
      message: { type: "message", ts: post.ts, thread_ts: post.thread_ts, text: post.body.text, blocks: post.body.blocks },
      ...{ trigger_id: `1.${++serial}.x`, response_url: `https://localhost:${slack.port}/response/1`, state: { values: {} } },
      actions: [{ ...element, type: "button", action_ts: "1.1", block_id: element.block_id ?? "b" }],
    });
  slack.say = (thread_ts, text) => {
    const ts = `${Math.floor(Date.now() / 1000)}.${String(++serial).padStart(6, "0")}`;
    return slack.envelope("events_api", {
      ...{ type: "event_callback", team_id: "T0BENCH0001", api_app_id: "A0BENCH0001", event_id: `Ev${++serial}`, event_time: Math.floor(Date.now() / 1000) },
      event: { type: "message", channel: "C0DEV000001", channel_type: "channel", user: "U0ALICE0001", text, ts, thread_ts, event_ts: ts, team: "T0BENCH0001" },
    });
  };
  slack.stop = () => {
    for (const ws of sockets.clients) ws.terminate();
    server.closeAllConnections();
    server.close();
  };
  return slack;
}
