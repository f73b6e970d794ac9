// A small gateway for tests of the bridge plugin: takes its WebSocket, checks every frame of both
// sides against the schema, acks, sends commands.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import Ajv from "ajv";
import { WebSocketServer } from "ws";
import { TOP, eventually } from "./util.mjs";

const schema = JSON.parse(fs.readFileSync(path.join(TOP, "bridge/protocol.schema.json"), "utf8"));
const ajv = new Ajv({ allErrors: true });
ajv.addSchema(schema, "bridge");

// The definition that a frame must match, by what PROTOCOL.md says tells frames apart.
export function definitionOf(frame, from) {
  if (from === "gateway") return frame.request_id === undefined ? frame.type : `command.${frame.type}`;
  if (frame.request_id !== undefined) return `answer.${frame.type}`;
  return frame.seq === undefined ? frame.type : `event.${frame.type}`;
}

// "" or what is wrong with it.
export function problemOf(frame, from) {
  const name = definitionOf(frame, from);
  const validate = ajv.getSchema(`bridge#/definitions/${name}`);
  if (!validate) return `${name}: not in the schema`;
  return validate(frame) ? "" : `${name}: ${ajv.errorsText(validate.errors)}`;
}

export async function startGateway({ port = 0, token = "bridge-token" } = {}) {
  const gateway = {
    token,
    hellos: [], // { hello, url, authorization }
    events: [], // in order of arrival, also those sent again
    problems: [],
    posts: [], // bodies of POST /api/opencode/permission
    acking: true,
    resumeAfter: undefined, // what welcome says; by default the highest seq of the instance
    onPost: undefined, // (body) → answer object, or undefined to keep it waiting
  };
  const highest = new Map();
  let serial = 0;
  let socket;
  const waiting = new Map();
  const server = http.createServer((req, res) => {
    let raw = "";
    req.on("data", (chunk) => (raw += chunk));
    req.on("end", async () => {
      const body = JSON.parse(raw);
      const validate = ajv.getSchema("bridge#/definitions/http.permission");
      if (!validate(body)) gateway.problems.push(`http.permission: ${ajv.errorsText(validate.errors)}`);
      gateway.posts.push({ url: req.url, authorization: req.headers.authorization, body });
      const answer = gateway.onPost?.(body);
      if (!answer) return;
      res.writeHead(answer.status ?? 200, { "content-type": "application/json" });
      res.end(JSON.stringify(answer.body));
    });
  });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: 1024 * 1024 });
  server.on("upgrade", (req, raw, head) => {
    raw.on("error", () => {});
    if (req.headers.authorization !== `Bearer ${gateway.token}`) {
      raw.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(req, raw, head, (ws) => accept(ws, req));
  });

  function accept(ws, req) {
    let instance;
    ws.on("error", () => {});
    ws.on("message", (data, binary) => {
      if (binary) return gateway.problems.push("a binary frame");
      const frame = JSON.parse(data.toString());
      const problem = problemOf(frame, "plugin");
      if (problem) gateway.problems.push(`${problem} in ${data.toString().slice(0, 300)}`);
      if (frame.type === "hello") {
        instance = frame.instance;
        gateway.hellos.push({ hello: frame, url: req.url, authorization: req.headers.authorization });
        socket = ws;
        gateway.socket = ws;
        const after = gateway.resumeAfter ?? highest.get(instance) ?? 0;
        return send(ws, { type: "welcome", protocol: 1, gateway_version: "test", resume_after: after });
      }
      if (instance === undefined) gateway.problems.push(`before hello: ${frame.type}`);
      if (frame.request_id !== undefined) {
        const ask = waiting.get(frame.request_id);
        if (!ask) return gateway.problems.push(`a second answer: ${JSON.stringify(frame)}`);
        waiting.delete(frame.request_id);
        return ask(frame);
      }
      gateway.events.push(frame);
      if (!gateway.acking) return;
      highest.set(instance, Math.max(frame.seq, highest.get(instance) ?? 0));
      send(ws, { type: "ack", seq: frame.seq });
    });
  }

  function send(ws, frame) {
    const problem = problemOf(frame, "gateway");
    if (problem) gateway.problems.push(`sent: ${problem}`);
    ws.send(JSON.stringify(frame));
  }

  // Sends a command and resolves with its answer.
  gateway.command = (type, fields = {}, requestId = `r${++serial}`) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${type}`)), 30000);
      waiting.set(requestId, (answer) => (clearTimeout(timer), resolve(answer)));
      send(socket, { type, request_id: requestId, ...fields });
    });
  gateway.raw = (data) => socket.send(data);
  gateway.event = (what, match, ms = 30000) =>
    eventually(what, () => gateway.events.find(match), ms, 30).catch((e) => {
      const tail = gateway.events.slice(-12).map((x) => `${x.type} ${JSON.stringify(x).slice(0, 200)}`);
      throw new Error(`${e.message}\n${tail.join("\n")}\n${gateway.problems.join("\n")}`);
    });
  gateway.listen = (onPort) =>
    new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen(onPort, "127.0.0.1", () => resolve(server.address().port));
    });
  // Stops listening and cuts everything, as a killed gateway does.
  gateway.down = () =>
    new Promise((resolve) => {
      for (const ws of sockets.clients) ws.terminate();
      server.closeAllConnections();
      server.close(() => resolve());
    });
  gateway.port = await gateway.listen(port);
  gateway.up = () => gateway.listen(gateway.port);
  gateway.ws = `ws://127.0.0.1:${gateway.port}/ws/bridge`;
  gateway.url = `http://127.0.0.1:${gateway.port}`;
  return gateway;
}
