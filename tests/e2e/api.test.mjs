// bridge/openapi.yaml is what the gateway does: its routes, its answers, and what it refuses.
import test, { after, before } from "node:test";
import assert from "node:assert/strict";
import path from "node:path";
import fc from "fast-check";
import { BIN, sh } from "./lib/util.mjs";
import { checkAnswer, hostile, operations, requestOf, startApi } from "./lib/api.mjs";

const RUNS = Number(process.env.CODEV_API_RUNS ?? 1500);
let api;
before(async () => {
  api = await startApi();
});
after(() => api?.end());

test("every route is in the document, and the other way round, with who may ask and whether it has a body", () => {
  const security = { open: "[]", login: "[]", read: undefined, change: undefined };
  const served = sh(path.join(BIN, "codev-gateway"), ["--routes"])
    .trim()
    .split("\n")
    .map((line) => line.split(" "))
    .filter(([, route]) => route.startsWith("/api/"))
    .map(([method, route, access, json]) => `${method} ${route} ${security[access] ?? "token"} ${json}`);
  served.push("POST /api/opencode/permission bridge json"); // the bridge's own, not of the page
  const described = operations.map(({ route, method, operation, body }) => {
    const open = operation.security ? (operation.security.length ? "bridge" : "[]") : "token";
    return `${method.toUpperCase()} ${route.replace("{id}", "{}")} ${open} ${body ? "json" : "-"}`;
  });
  assert.deepEqual(described.sort(), served.sort());
});

// A refusal that says that something else is away, not that the gateway failed.
const AWAY = new Set(["no_supervisor", "too_many_streams"]);

const json = (body) => {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    return undefined;
  }
};
// What a JSON text can hold and a schema cannot tell: half of a character, a name twice.
const isOdd = (body) => /\\u[dD][89a-fA-F]|"a":1,"a":2|1e999/.test(String(body));

// The body's verdict is the document's.
function checkVerdict(o, request, answer) {
  if (request.method.toLowerCase() !== o.method || !o.bodyFits || o.route === "/api/opencode/permission") return;
  if (![200, 201, 202, 422].includes(answer.status)) return; // it was not looked at
  const body = json(request.body);
  const fits = body !== undefined && o.bodyFits(body);
  if (!fits) assert.equal(answer.status, 422, "the document forbids it");
  else if (!isOdd(request.body) && answer.status === 422) assert.match(answer.text, /does not fit this kind of request/, "the document allows it");
}

function checkHostile(o, request, answer) {
  const elsewhere = answer.body?.error?.code === "opencode_away" && /pod/.test(`${request.path}${request.body}`); // on no such pod
  if (answer.status >= 500 && request.method !== "HEAD") assert.ok(answer.status === 503 && (elsewhere || AWAY.has(answer.body?.error?.code)));
  if (request.method === "HEAD") return assert.ok(answer.text === "" && (answer.status < 500 || answer.status === 503));
  if ([400, 404, 405].includes(answer.status)) assert.equal(typeof answer.body?.error?.code, "string");
  else checkAnswer(o.method, o.route, answer);
  if (answer.status === 405) assert.match(answer.headers.allow, /GET|POST/);
  return checkVerdict(o, request, answer);
}

test(`${RUNS} hostile requests made from the document: no failure, no hang, and each answer as described`, async (t) => {
  const seed = Number(process.env.CODEV_API_SEED ?? Date.now() % 2147483647);
  t.diagnostic(`seed ${seed}`);
  assert.equal((await api.post("/api/sessions", { prompt: "Go on." })).body.session_id, "ses_1");
  await api.post("/api/opencode/permission", { id: "per_1", session_id: "ses_1", permission: "bash", pod: "codev-0" }, 500);
  const before = api.rss();
  const statuses = {};
  await fc.assert(
    fc.asyncProperty(hostile(api.token), async (given) => {
      const o = operations[given.number];
      const request = requestOf(given);
      const waits = o.route === "/api/opencode/permission"; // for a person
      const answer = await api.send(request, waits ? 100 : undefined);
      statuses[answer?.status ?? "waits"] = (statuses[answer?.status ?? "waits"] ?? 0) + 1;
      if (waits && !answer) return;
      try {
        checkHostile(o, request, answer);
      } catch (error) {
        throw new Error(`${request.method} ${request.path.slice(0, 300)} ${String(request.body).slice(0, 300)} → ${answer.status} ${answer.text.slice(0, 300)}: ${error.message}`);
      }
    }),
    { seed, numRuns: RUNS, path: process.env.CODEV_API_PATH, endOnFailure: true, includeErrorInReport: true },
  );
  t.diagnostic(`statuses ${JSON.stringify(statuses)}, memory ${before} → ${api.rss()} KiB`);
  assert.equal(api.gateway.exitCode, null, "the gateway lives");
  for (const status of [200, 201, 202, 401, 404, 405, 422]) assert.ok(RUNS < 1000 || statuses[status] > 0, `some are answered ${status}`);
});
