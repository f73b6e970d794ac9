// The plugin's modules, bundled for the tests, and its schema.
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import Ajv from "ajv";
import { build } from "esbuild";

export const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

// One module of src/ with all that it imports.
export async function load(name) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), "bridge-plugin-test-"));
  process.on("exit", () => fs.rmSync(dir, { recursive: true, force: true }));
  const outfile = path.join(dir, `${name}.mjs`);
  await build({
    entryPoints: [path.join(ROOT, "src", `${name}.ts`)],
    bundle: true,
    format: "esm",
    platform: "node",
    target: "es2022",
    outfile,
    logLevel: "warning",
  });
  return import(pathToFileURL(outfile).href);
}

// Beside the plugin in this repository; a copy of the plugin alone has none.
const schemaFile = path.join(ROOT, "../protocol.schema.json");
const ajv = new Ajv({ allErrors: true });
if (fs.existsSync(schemaFile)) ajv.addSchema(JSON.parse(fs.readFileSync(schemaFile, "utf8")), "bridge");

// Throws what is wrong with a frame; `name` is its definition in the schema.
export function assertValid(name, frame) {
  const validate = ajv.getSchema(`bridge#/definitions/${name}`);
  if (!validate) throw new Error(`no ${name} in the schema`);
  if (!validate(frame)) throw new Error(`${name}: ${ajv.errorsText(validate.errors)}: ${JSON.stringify(frame).slice(0, 300)}`);
}

export function assertValidFrame(frame) {
  const kind = frame.request_id !== undefined ? "answer." : frame.seq !== undefined ? "event." : "";
  assertValid(kind + frame.type, frame);
}

export const fixture = (name) =>
  fs.readFileSync(path.join(ROOT, "test/fixtures", name), "utf8").trim().split("\n").map((l) => JSON.parse(l));

export async function eventually(what, fn, ms = 5000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await fn();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

// OpenCode's API: `routes` maps "GET /path" to a value, an Error, or a function of the request.
export function fakeApi(routes = {}) {
  const calls = [];
  const call = (method) => async (route, request = {}) => {
    calls.push({ method, route, ...request });
    const found = routes[`${method} ${route}`];
    const value = typeof found === "function" ? await found(request) : found;
    if (value instanceof Error) throw value;
    if (found === undefined) throw Object.assign(new Error(`no route ${method} ${route}`), { code: "failed" });
    return value;
  };
  return { calls, get: call("GET"), post: call("POST") };
}
