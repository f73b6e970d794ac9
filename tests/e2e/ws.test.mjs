// A hostile client of the bridge's WebSocket: frames that are broken, too large, too many, never
// read. The gateway closes it with the reason and serves the others.
import test, { after, before } from "node:test";
import assert from "node:assert/strict";
import crypto from "node:crypto";
import net from "node:net";
import { startApi } from "./lib/api.mjs";
import { eventually } from "./lib/util.mjs";

let api;
before(async () => {
  api = await startApi();
});
after(() => api?.end());

const TEXT = 1;
const BINARY = 2;
const CLOSE = 8;
const PING = 9;

// One frame as a client sends it. `first`: FIN and the reserved bits; `mask`: false is forbidden.
function frame(opcode, payload, { first = 0x80, mask = true, length } = {}) {
  const data = Buffer.from(payload);
  const n = length ?? data.length;
  const head = n < 126 ? Buffer.from([first | opcode, n]) : n < 65536 ? Buffer.from([first | opcode, 126, n >> 8, n & 255]) : Buffer.concat([Buffer.from([first | opcode, 127]), bigEndian(n)]);
  if (!mask) return Buffer.concat([head, data]);
  head[1] |= 0x80;
  const key = crypto.randomBytes(4);
  return Buffer.concat([head, key, data.map((byte, i) => byte ^ key[i % 4])]);
}
function bigEndian(n) {
  const b = Buffer.alloc(8);
  b.writeBigUInt64BE(BigInt(n));
  return b;
}

// A connection after its handshake, and what came over it: text, and how it was closed.
async function connect() {
  const socket = net.connect(api.port, "127.0.0.1");
  const c = { socket, bytes: Buffer.alloc(0), ended: false, error: "" };
  socket.on("data", (data) => (c.bytes = Buffer.concat([c.bytes, data])));
  socket.on("close", () => (c.ended = true));
  socket.on("error", (e) => (c.error = e.message));
  socket.write(`GET /ws/bridge HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${crypto.randomBytes(16).toString("base64")}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer bridge-token\r\n\r\n`);
  await eventually("the upgrade", () => c.bytes.includes("\r\n\r\n"));
  assert.match(c.bytes.toString("latin1"), /^HTTP\/1\.1 101 /);
  c.bytes = c.bytes.subarray(c.bytes.indexOf("\r\n\r\n") + 4);
  // The frames of the server, which are never masked.
  c.frames = () => {
    const list = [];
    for (let at = 0; at + 2 <= c.bytes.length; ) {
      let n = c.bytes[at + 1] & 127;
      let head = 2;
      if (n === 126) [n, head] = [c.bytes.readUInt16BE(at + 2), 4];
      else if (n === 127) [n, head] = [Number(c.bytes.readBigUInt64BE(at + 2)), 10];
      if (at + head + n > c.bytes.length) break;
      list.push({ opcode: c.bytes[at] & 15, payload: c.bytes.subarray(at + head, at + head + n) });
      at += head + n;
    }
    return list;
  };
  c.text = () => c.frames().filter((f) => f.opcode === TEXT).map((f) => JSON.parse(f.payload.toString()));
  c.closed = () => eventually("the gateway closes it", () => {
    const close = c.frames().find((f) => f.opcode === CLOSE);
    return close ? close.payload.readUInt16BE(0) : c.ended && 1006;
  });
  return c;
}
const hello = (instance) =>
  JSON.stringify({ type: "hello", protocol: 1, plugin_version: "1", opencode_version: "", pod: "codev-ws", instance, directory: "/w", directories: ["/w"], last_seq: 0 });
const serves = async () => assert.equal((await fetch(`http://127.0.0.1:${api.port}/api/health`, { signal: AbortSignal.timeout(10000) })).status, 200);

test("a message in pieces of one byte, with pings in between, is one message", async () => {
  const c = await connect();
  const bytes = Buffer.from(hello("pieces"));
  for (let i = 0; i < bytes.length; i++) {
    c.socket.write(frame(i === 0 ? TEXT : 0, bytes.subarray(i, i + 1), { first: i === bytes.length - 1 ? 0x80 : 0 }));
    if (i % 50 === 0) c.socket.write(frame(PING, `p${i}`));
  }
  await eventually("welcome", () => c.text().some((f) => f.type === "welcome"));
  await eventually("and the last ping is answered", () => c.frames().some((f) => f.opcode === 10)); // RFC 6455 §5.5.3: of several the last will do
  c.socket.destroy();
});

const refused = [
  ["a message over a MiB", [frame(TEXT, Buffer.alloc(1100000, "x"))], [1009]],
  ["one that only says it is huge", [frame(TEXT, Buffer.alloc(1100000, "x"), { length: 2 ** 40 })], [1009]],
  ["pieces that add up to more than a MiB", [frame(TEXT, Buffer.alloc(600000, "x"), { first: 0 }), frame(0, Buffer.alloc(600000, "x"))], [1009]],
  ["a binary message", [frame(BINARY, "{}")], [4400]],
  ["text that is no UTF-8", [frame(TEXT, Buffer.from([0xc3, 0x28]))], [1007]],
  ["no JSON", [frame(TEXT, "hello")], [4400]],
  // libwebsockets reads a frame without a mask, too; then it is judged as any other
  ["a frame without a mask", [frame(TEXT, "{}", { mask: false })], [1002, 1006, 4400]],
  ["reserved bits", [frame(TEXT, "{}", { first: 0xf0 })], [1002]],
  ["a reserved opcode", [frame(5, "x")], [1002]],
  ["a piece of nothing", [frame(0, "x")], [1002]],
  ["a ping over 125 bytes", [frame(PING, Buffer.alloc(200, "x"))], [1002, 1006]],
  ["a ping in pieces", [frame(PING, "x", { first: 0 })], [1002]],
];
for (const [what, frames, codes] of refused)
  test(`${what} ends the connection`, async () => {
    const c = await connect();
    for (const f of frames) c.socket.write(f);
    const code = await c.closed();
    assert.ok(codes.includes(code), `closed with ${code}`);
    c.socket.destroy();
    await serves();
  });

test("floods of pings, and of answers that are never read, cost bounded memory and nobody's turn", async (t) => {
  const before = api.rss();
  const floods = [];
  for (let k = 0; k < 4; k++) {
    const c = await connect();
    c.socket.pause();
    const many = Buffer.concat(Array.from({ length: 1000 }, () => frame(PING, Buffer.alloc(120, "x"))));
    for (let i = 0; i < 50; i++) c.socket.write(many);
    floods.push(c);
  }
  for (let i = 0; i < 5; i++) await serves();
  const well = await connect();
  well.socket.write(frame(TEXT, hello("well")));
  await eventually("another bridge is welcome", () => well.text().some((f) => f.type === "welcome"));
  t.diagnostic(`memory ${before} → ${api.rss()} KiB`);
  assert.ok(api.rss() - before < 32 * 1024, `${before} → ${api.rss()} KiB`);
  for (const c of [...floods, well]) c.socket.destroy();
  await serves();
});
