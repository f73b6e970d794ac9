// What log collectors do with a container's log file, as far as k8s/logs uses it and as their manuals
// describe it. A step that is not known here, or an option of one, is an error: nothing is skipped.
import fs from "node:fs";

// containerd's log file: time, stream, F or P, text. A line longer than `most` bytes is cut.
export function criFile(lines, most = 16 * 1024) {
  const out = [];
  for (const line of lines) {
    const bytes = Buffer.from(line);
    for (let at = 0; at < Math.max(bytes.length, 1); at += most) {
      const rest = bytes.length - at > most;
      out.push(Buffer.concat([Buffer.from(`2026-01-02T03:04:05.123456789Z stdout ${rest ? "P" : "F"} `), bytes.subarray(at, at + most)]));
    }
  }
  return out;
}

// Undone: text of the line, pieces joined.
export function criJoined(file) {
  const lines = [];
  let open = [];
  for (const raw of file) {
    const head = /^(\S+) (stdout|stderr) ([FP]) /.exec(raw.subarray(0, 64).toString("latin1"));
    if (!head) throw new Error(`not containerd's form: ${raw.subarray(0, 80)}`);
    open.push(raw.subarray(head[0].length));
    if (head[3] === "P") continue;
    lines.push({ time: head[1], stream: head[2], text: Buffer.concat(open).toString("utf8") });
    open = [];
  }
  if (open.length) throw new Error("a line without an end");
  return lines;
}

function only(what, object, ...known) {
  for (const key of Object.keys(object ?? {})) if (!known.includes(key)) throw new Error(`${what}: option ${key} is not known here`);
}

// Go's RFC3339Nano.
function rfc3339nano(text) {
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(text)) throw new Error(`not RFC3339Nano: ${text}`);
  return text;
}

// ---------------------------------------------------------------- Promtail and Alloy

const lokiStages = {
  cri: (o) => only("cri", o),
  json(o, entry) {
    only("json", o, "expressions");
    const body = JSON.parse(entry.line);
    // an expression is JMESPath; a plain name is the field of that name
    for (const [name, path] of Object.entries(o.expressions)) {
      if (!/^[a-z_]+$/.test(path)) throw new Error(`json: ${path}`);
      if (body[path] !== undefined) entry.extracted[name] = body[path];
    }
  },
  timestamp(o, entry) {
    only("timestamp", o, "source", "format");
    if (o.format !== "RFC3339Nano") throw new Error(`timestamp: ${o.format}`);
    entry.time = rfc3339nano(entry.extracted[o.source]);
  },
  labels: (o, entry) => take(o, entry.extracted, entry.labels),
  structured_metadata: (o, entry) => take(o, entry.extracted, entry.metadata),
};

// "" or nothing: the extracted value of the same name.
function take(names, from, to) {
  for (const [name, source] of Object.entries(names)) if (from[source || name] !== undefined) to[name] = from[source || name];
}

export function loki(stages, file) {
  if (Object.keys(stages[0])[0] !== "cri") throw new Error("the first stage reads containerd's form");
  return criJoined(file).map(({ time, text }) => {
    const entry = { time, line: text, extracted: {}, labels: {}, metadata: {} };
    for (const stage of stages) {
      const [[name, options]] = Object.entries(stage);
      if (!lokiStages[name]) throw new Error(`stage ${name} is not known here`);
      lokiStages[name](options, entry);
    }
    return entry;
  });
}

// The stages of loki.process in an Alloy file, as Promtail has them. Only what stands in ours.
export function alloyStages(file) {
  const text = fs.readFileSync(file, "utf8").replace(/^\s*\/\/.*$/gm, "");
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[A-Za-z_][\w.]*|[{}[\],=]/g);
  let at = 0;
  const value = () => {
    const token = tokens[at++];
    if (token === "[") {
      const all = [];
      while (tokens[at] !== "]") {
        all.push(value());
        if (tokens[at] === ",") at++;
      }
      at++;
      return all;
    }
    if (token === "{") {
      const object = {};
      while (tokens[at] !== "}") {
        const key = tokens[at++];
        if (tokens[at++] !== "=") throw new Error(`${key}: no value`);
        object[key] = value();
        if (tokens[at] === ",") at++;
      }
      at++;
      return object;
    }
    return token.startsWith('"') ? JSON.parse(token) : { ref: token };
  };
  const body = () => {
    const items = [];
    while (at < tokens.length && tokens[at] !== "}") {
      const name = tokens[at++];
      if (tokens[at] === "=") {
        at++;
        items.push({ name, value: value() });
        continue;
      }
      const label = tokens[at].startsWith('"') ? JSON.parse(tokens[at++]) : "";
      if (tokens[at++] !== "{") throw new Error(`${name}: no block`);
      items.push({ name, label, body: body() });
      at++;
    }
    return items;
  };
  const blocks = body();
  if (at !== tokens.length) throw new Error("a bracket too many");
  const components = new Set(blocks.map((b) => `${b.name}.${b.label}`));
  for (const [ref] of text.matchAll(/\b(?:discovery|loki|local)\.[a-z_]+(?:\.[a-z_]+)*\.(?:targets|output|receiver)\b/g))
    if (!components.has(ref.slice(0, ref.lastIndexOf(".")))) throw new Error(`${ref}: there is no such component`);
  const process = blocks.find((b) => b.name === "loki.process");
  return process.body
    .filter((b) => b.name.startsWith("stage."))
    .map((b) => {
      const options = Object.fromEntries(b.body.map((o) => [o.name, o.value]));
      return { [b.name.slice("stage.".length)]: options.values ?? options };
    });
}

// ---------------------------------------------------------------- OpenTelemetry Collector

const SEVERITIES = { trace: 1, debug: 5, info: 9, warn: 13, error: 17, fatal: 21 };

// attributes.NAME, resource["NAME"], body
function field(name) {
  const found = /^(?:(attributes)\.([a-z_]+)|(resource)\["([a-z.]+)"\]|(body))$/.exec(name);
  if (!found) throw new Error(`field ${name}`);
  const [, a, inA, r, inR] = found;
  return {
    get: (e) => (a ? e.attributes[inA] : r ? e.resource[inR] : e.body),
    set: (e, v) => (a ? (e.attributes[inA] = v) : r ? (e.resource[inR] = v) : (e.body = v)),
    remove: (e) => (a ? delete e.attributes[inA] : r ? delete e.resource[inR] : (e.body = undefined)),
  };
}

function applies(condition, e) {
  if (condition === undefined) return true;
  const there = /^attributes\.([a-z_]+) != nil$/.exec(condition);
  const starts = /^body startsWith "(.)"$/.exec(condition);
  if (!there && !starts) throw new Error(`condition ${condition}`);
  return there ? e.attributes[there[1]] !== undefined : typeof e.body === "string" && e.body.startsWith(starts[1]);
}

const operators = {
  container: (o) => only("container", o, "type"),
  json_parser(o, e) {
    only("json_parser", o, "type", "if", "timestamp", "severity");
    Object.assign(e.attributes, JSON.parse(e.body));
    only("timestamp", o.timestamp, "parse_from", "layout_type", "layout");
    if (o.timestamp.layout_type !== "gotime" || o.timestamp.layout !== "2006-01-02T15:04:05.999999Z07:00") throw new Error("timestamp");
    const ts = field(o.timestamp.parse_from).get(e);
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(ts)) throw new Error(`timestamp ${ts}`);
    e.timestamp = ts;
    only("severity", o.severity, "parse_from", "preset", "mapping");
    const text = field(o.severity.parse_from).get(e);
    const found = Object.entries(o.severity.mapping).find(([, from]) => from === text);
    if (!found || !SEVERITIES[found[0]]) throw new Error(`no severity for ${text}`);
    e.severity = SEVERITIES[found[0]];
    e.severityText = text;
  },
  trace_parser(o, e) {
    only("trace_parser", o, "type", "if", "trace_id", "span_id");
    e.traceId = Buffer.from(field(o.trace_id.parse_from).get(e), "hex");
    if (e.traceId.length !== 16) throw new Error("trace id");
    const span = field(o.span_id.parse_from).get(e);
    if (span === undefined) return;
    e.spanId = Buffer.from(span, "hex");
    if (e.spanId.length !== 8) throw new Error("span id");
  },
  move(o, e) {
    only("move", o, "type", "if", "from", "to");
    const value = field(o.from).get(e);
    if (value === undefined) throw new Error(`move: no ${o.from}`);
    field(o.from).remove(e);
    field(o.to).set(e, value);
  },
  remove(o, e) {
    only("remove", o, "type", "if", "field");
    field(o.field).remove(e);
  },
};

export function otel(list, file) {
  if (list[0].type !== "container") throw new Error("the first operator reads containerd's form");
  return criJoined(file).map(({ time, stream, text }) => {
    const e = { timestamp: time, body: text, attributes: { "log.iostream": stream }, resource: {} };
    for (const o of list) {
      if (!operators[o.type]) throw new Error(`operator ${o.type} is not known here`);
      if (applies(o.if, e)) operators[o.type](o, e);
    }
    return e;
  });
}

// ---------------------------------------------------------------- Fluent Bit

export function fluentBit(config, file) {
  const [input] = config.pipeline.inputs;
  const [filter] = config.pipeline.filters;
  const [output] = config.pipeline.outputs;
  const parser = config.parsers.find((p) => p.name === filter.parser);
  if (input["multiline.parser"] !== "cri" || filter.name !== "parser" || filter.key_name !== "log" || parser?.format !== "json") throw new Error("another pipeline");
  if (parser.time_format !== "%Y-%m-%dT%H:%M:%S.%LZ") throw new Error(`time_format ${parser.time_format}`);
  const named = (list) => list.split(",").map((item) => item.split("=").at(-1).trim());
  return criJoined(file).map(({ time, stream, text }) => {
    const record = { time, stream, _p: "F", ...JSON.parse(text) };
    if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z$/.test(record[parser.time_key])) throw new Error("time");
    const pick = (list) =>
      Object.fromEntries(
        named(list)
          .filter((name) => name.startsWith("$"))
          .map((name) => [name.slice(1), record[name.slice(1)]])
          .filter(([, value]) => value !== undefined),
      );
    return { time: record[parser.time_key], labels: pick(output.label_keys), metadata: pick(output.structured_metadata), record };
  });
}
