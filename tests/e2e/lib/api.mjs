// The API against the document that the gateway serves: answers, and hostile requests made from it.
import assert from "node:assert/strict";
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import Ajv2020 from "ajv/dist/2020.js";
import fc from "fast-check";
import YAML from "yaml";
import { BIN, TOP, eventually, freePorts, run, tempDir } from "./util.mjs";

export const document = YAML.parse(fs.readFileSync(path.join(TOP, "bridge/openapi.yaml"), "utf8"));
const ajv = new Ajv2020({ allErrors: true, strict: false });
ajv.addSchema(document, "doc");
const pointer = (...parts) => `doc#/${parts.map((p) => encodeURIComponent(p.replaceAll("~", "~0").replaceAll("/", "~1"))).join("/")}`;
const at = (ref) => ref.slice(2).split("/");
const resolve = (node) => (node?.$ref ? at(node.$ref).reduce((n, key) => n[key], document) : node);

export const operations = Object.entries(document.paths).flatMap(([route, item]) =>
  ["get", "post"].filter((m) => item[m]).map((method) => ({
    ...{ route, method, operation: item[method] },
    parameters: [...(item.parameters ?? []), ...(item[method].parameters ?? [])].map(resolve),
    body: item[method].requestBody?.content["application/json"].schema,
    bodyFits: item[method].requestBody && ajv.getSchema(pointer("paths", route, method, "requestBody", "content", "application/json", "schema")),
  })),
);

export function validatorOf(name) {
  return ajv.getSchema(pointer("components", "schemas", name));
}

// Throws unless the document knows such an answer of this operation.
export function checkAnswer(method, route, answer) {
  const { responses } = document.paths[route][method];
  const key = responses[answer.status] ? String(answer.status) : "default";
  assert.ok(responses[key], `${method} ${route}: status ${answer.status} is described`);
  const response = resolve(responses[key]);
  const place = responses[key].$ref ? at(responses[key].$ref) : ["paths", route, method, "responses", key];
  const type = (answer.headers.get?.("content-type") ?? answer.headers["content-type"] ?? "").split(";")[0];
  if (!response.content) return assert.equal(answer.text, "");
  assert.ok(response.content[type], `${method} ${route} ${answer.status}: type ${type} is described`);
  if (type !== "application/json") return undefined;
  const validate = ajv.getSchema(pointer(...place, "content", type, "schema"));
  assert.ok(validate(answer.body), `${method} ${route} ${answer.status}: ${ajv.errorsText(validate.errors)}\n${answer.text}`);
}

/* ------------------------------------------------------------------ a gateway with an OpenCode that says yes */

async function startYesMan() {
  let count = 0;
  const server = http.createServer((request, response) => {
    request.resume();
    request.on("end", () => {
      const { pathname } = new URL(request.url, "http://x");
      const say = (status, body) => response.writeHead(status, { "content-type": "application/json" }).end(body === undefined ? "" : JSON.stringify(body));
      if (pathname === "/global/event") {
        response.writeHead(200, { "content-type": "text/event-stream" });
        return response.write('data: {"payload":{"type":"server.connected","properties":{}}}\n\n');
      }
      if (pathname === "/global/health") return say(200, { healthy: true, version: "1.18.33" });
      if (request.method === "POST" && pathname === "/session") return say(200, { id: `ses_${++count}`, title: "T", directory: "/w", time: { created: 1, updated: 1 } });
      if (pathname.endsWith("/prompt_async")) return say(204);
      if (pathname === "/session/status") return say(200, {});
      return say(200, request.method === "POST" ? true : []);
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return server;
}

export async function startApi() {
  const dir = tempDir("api");
  const yes = await startYesMan();
  const [port] = await freePorts(1);
  const token = "token-of-the-gateway-in-the-api-test";
  const gateway = run(path.join(BIN, "codev-gateway"), [], {
    env: {
      ...{ PATH: process.env.PATH, HOME: dir, CODEV_POD: "codev-0", CODEV_STATE_DIR: dir, CODEV_RUNTIME_DIR: dir, CODEV_LOG_LEVEL: "error" },
      ...{ CODEV_GATEWAY_LISTEN: "127.0.0.1", CODEV_GATEWAY_PORT: String(port), CODEV_OPENCODE_DIRECTORY: "/w" },
      ...{ CODEV_OPENCODE_URL: `http://127.0.0.1:${yes.address().port}`, CODEV_TOKEN: token, CODEV_BRIDGE_TOKEN: "bridge-token" },
    },
  });
  await eventually("OpenCode is reached", async () => (await (await fetch(`http://127.0.0.1:${port}/api/health`)).json()).opencode.way === "http", 20000);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
  const api = {
    ...{ gateway, port, token },
    rss: () => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${gateway.pid}/status`, "utf8"))[1]),
    // As it is: no path is put in order, no header is added. A stream's first piece is its text.
    // `patience`: for an answer that may be long in coming; without one by then it is undefined.
    post: (target, body, patience) =>
      api.send({ method: "POST", path: target, headers: { host: "127.0.0.1", authorization: `Bearer ${token}`, "content-type": "application/json" }, body: JSON.stringify(body) }, patience),
    send: ({ method, path: target, headers = {}, body }, patience) =>
      new Promise((done, fail) => {
        const request = http.request({ host: "127.0.0.1", port, agent, method, path: target, headers, timeout: 15000 }, (response) => {
          const pieces = [];
          const finish = () => {
            const text = Buffer.concat(pieces).toString();
            let json;
            try {
              json = JSON.parse(text);
            } catch {
              json = undefined;
            }
            done({ status: response.statusCode, headers: response.headers, text, body: json });
          };
          const stream = response.headers["content-type"]?.startsWith("text/event-stream") && method !== "HEAD";
          response.on("data", (piece) => {
            pieces.push(piece);
            if (!stream) return;
            finish();
            request.destroy();
          });
          response.on("end", finish);
          response.on("error", () => {});
        });
        request.on("timeout", () => request.destroy(new Error(`no answer within 15 s: ${method} ${target}`)));
        request.on("error", fail);
        if (patience)
          setTimeout(() => {
            done(undefined);
            request.destroy();
          }, patience).unref();
        request.end(body);
      }),
    async end() {
      agent.destroy();
      gateway.kill("SIGKILL");
      await gateway.ended;
      yes.closeAllConnections();
      yes.close();
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
  return api;
}

/* ------------------------------------------------------------------ hostile requests */

const nasty = fc.constantFrom(
  ...["", " ", "\t\n", "\0", "a\0b", "..", "../../etc/passwd", "%00", "<script>alert(1)</script>", "' OR 1=1 --", "\r\nX-A: b", "\u202e", "\ufeff"],
  ...["\u007f", "/", "/w", "//", "a/b", "/a\nb", "fake/fake-1", "null", "true", "{}", "\u{1d54f}".repeat(300), "é".repeat(61), "x".repeat(4001)],
);
const words = fc.oneof({ weight: 3, arbitrary: fc.string({ unit: "grapheme", maxLength: 40 }) }, { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 20 }) }, { weight: 2, arbitrary: nasty });

function fromString(schema) {
  const limit = schema.maxLength;
  const long = limit ? [{ weight: 1, arbitrary: fc.constantFrom("x".repeat(limit), "x".repeat(limit + 1), "\u{1f600}".repeat(limit), "\u{1f600}".repeat(limit + 1)) }] : [];
  return fc.oneof({ weight: 8, arbitrary: words }, ...(limit <= 50000 ? long : []));
}

// Values near what the schema describes: mostly right, often just beside it.
function near(schema) {
  const s = resolve(schema);
  if (s.const !== undefined) return fc.constant(s.const);
  if (s.enum) return fc.constantFrom(...s.enum);
  if (s.allOf && !s.type) return near({ ...resolve(s.allOf[0]), ...s, allOf: undefined });
  const types = [s.type].flat();
  const choices = types.map((type) => {
    switch (type) {
      case "string":
        return fromString(s);
      case "integer":
        return fc.oneof(fc.integer({ min: -5, max: 3000 }), fc.double());
      case "null":
        return fc.constant(null);
      case "array":
        return fc.array(wrongNowAndThen(s.items), { maxLength: (s.maxItems ?? 4) + 1 });
      case "object":
        return nearObject(s);
      default:
        return fc.jsonValue();
    }
  });
  return choices.length === 1 ? choices[0] : fc.oneof({ weight: 6, arbitrary: choices[0] }, ...choices.slice(1).map((arbitrary) => ({ weight: 1, arbitrary })));
}
// Where hardly a name is right, nothing behind it is reached.
const RIGHT = { pod: "codev-0", directory: "/w", model: "fake/fake-1", agent: "build", title: "A title" };
const named = (name, arbitrary) => (RIGHT[name] ? fc.oneof({ weight: 6, arbitrary: fc.constant(RIGHT[name]) }, { weight: 1, arbitrary }) : arbitrary);
const wrongNowAndThen = (schema) => fc.oneof({ weight: 12, arbitrary: near(schema ?? {}) }, { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) });

function nearObject(s) {
  const known = Object.fromEntries(Object.entries(s.properties ?? {}).map(([name, schema]) => [name, named(name, wrongNowAndThen(schema))]));
  const whole = fc.record(known, { requiredKeys: s.required ?? [] });
  const sparse = fc.record(known, { requiredKeys: [] });
  const more = fc.tuple(whole, fc.dictionary(fc.string({ maxLength: 8 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 2 })).map(([a, b]) => ({ ...b, ...a }));
  return fc.oneof({ weight: 8, arbitrary: whole }, { weight: 1, arbitrary: sparse }, { weight: 1, arbitrary: more });
}

const rawBody = fc.oneof(
  fc.constantFrom("", "{", "[]", "null", '"x"', "{}{}", '{"a":1,"a":2}', `${"[".repeat(200)}${"]".repeat(200)}`, '{"prompt":"\\ud800"}', '{"prompt":"\\u0000"}', "\u0000", "{\"prompt\":1e999}"),
  fc.uint8Array({ maxLength: 200 }).map((a) => Buffer.from(a)),
  fc.jsonValue({ maxDepth: 4 }).map((v) => JSON.stringify(v)),
);

const segment = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("ses_1", "per_1") }, // there are such
  { weight: 3, arbitrary: words.map((w) => encodeURIComponent(w.toWellFormed())) },
  { weight: 1, arbitrary: fc.constantFrom("%", "%zz", "%2e%2e", "..", ".", "%2f", "%00", "%ff%fe", "a%0d%0ab", "x".repeat(201), "x".repeat(8000), ";", "*") },
);

const headersOf = (token) =>
  fc.record(
    {
      authorization: fc.oneof({ weight: 12, arbitrary: fc.constant(`Bearer ${token}`) }, { weight: 1, arbitrary: fc.constantFrom("", "Bearer", "Bearer x", "Basic !!!", "Basic OnB3", "Bearer bridge-token", `bearer  ${token}`, "Digest x") }),
      "content-type": fc.oneof({ weight: 12, arbitrary: fc.constant("application/json") }, { weight: 1, arbitrary: fc.constantFrom("text/plain", "application/json; charset=utf-8", "application/jsonx", "multipart/form-data", "") }),
      origin: fc.constantFrom("null", "http://evil.example", "http://127.0.0.1"),
      cookie: fc.constantFrom("codev_login=", "codev_login=x", "a=b; codev_login=0; c", "="),
      "last-event-id": fc.constantFrom("0", "1", "x", "99999999999999999999"),
      "x-request-id": fc.constantFrom("a", "a b", "x".repeat(65)),
    },
    { requiredKeys: ["authorization", "content-type"] },
  ).map((h) => {
    for (const rare of ["origin"]) if (h[rare] && h["x-request-id"] !== "a") delete h[rare]; // most shall get past the door
    return h;
  });

export function hostile(token) {
  return fc.nat(operations.length - 1).chain((number) => {
    const o = operations[number];
    const query = fc.record(Object.fromEntries(o.parameters.filter((p) => p.in === "query").map((p) => [p.name, named(p.name, fc.oneof({ weight: 3, arbitrary: near(p.schema).map(String) }, { weight: 1, arbitrary: words }))])), { requiredKeys: [] });
    const body = o.body ? fc.oneof({ weight: 8, arbitrary: near(o.body).map((v) => JSON.stringify(v)) }, { weight: 1, arbitrary: rawBody }) : fc.option(rawBody, { freq: 5, nil: undefined });
    return fc.record({ number: fc.constant(number), id: segment, query, body, headers: headersOf(token), method: fc.oneof({ weight: 20, arbitrary: fc.constant(o.method.toUpperCase()) }, { weight: 1, arbitrary: fc.constantFrom("HEAD", "PUT", "DELETE", "OPTIONS", "PATCH") }) });
  });
}

export function requestOf({ number, id, query, body, headers, method }) {
  const o = operations[number];
  const search = new URLSearchParams(Object.entries(query).map(([k, v]) => [k, v.toWellFormed()])).toString();
  const clean = Object.fromEntries(Object.entries(headers).filter(([, v]) => v !== ""));
  const bytes = body === undefined ? undefined : Buffer.from(body);
  return {
    ...{ method, body: bytes, path: `${o.route.replace("{id}", id)}${search ? `?${search}` : ""}` },
    headers: { host: "127.0.0.1", ...clean, ...(bytes && { "content-length": String(bytes.length) }) },
  };
}
