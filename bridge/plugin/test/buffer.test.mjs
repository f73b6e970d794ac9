import assert from "node:assert/strict";
import test from "node:test";
import { load } from "./lib/load.mjs";

const { UnackedBuffer } = await load("buffer");
const { encodeEvent, FRAME_MAX } = await load("frames");

let seq = 0;
const at = (type, more = {}) => ({ seq: ++seq, type, time: 1, directory: "/d", session_id: "ses_1", ...more });
const add = (buffer, event, text = JSON.stringify(event)) => {
  buffer.add(event, text);
  return event.seq;
};
const kept = (buffer, after = 0) => [...buffer.after(after)].map((e) => e.seq);

test("an ack removes all up to its number", () => {
  const buffer = new UnackedBuffer();
  const [a, b, c] = ["session.active", "session.idle", "session.idle"].map((t) => add(buffer, at(t)));
  assert.deepEqual(kept(buffer), [a, b, c]);
  assert.deepEqual(kept(buffer, a), [b, c]);
  buffer.ack(b);
  assert.deepEqual(kept(buffer), [c]);
  buffer.ack(a);
  buffer.ack(-1);
  assert.deepEqual(kept(buffer), [c]);
  buffer.ack(c + 100);
  assert.deepEqual([buffer.size, buffer.bytes], [0, 0]);
});

test("of a streamed part, a session's update and a directory's state only the newest stays", () => {
  const buffer = new UnackedBuffer();
  add(buffer, at("message.part.streamed", { part_id: "p1" }));
  const other = add(buffer, at("message.part.streamed", { part_id: "p2" }));
  const part = add(buffer, at("message.part.streamed", { part_id: "p1" }));
  add(buffer, at("session.updated"));
  const updated = add(buffer, at("session.updated"));
  add(buffer, at("state.sync"));
  const elsewhere = add(buffer, at("state.sync", { directory: "/e" }));
  const sync = add(buffer, at("state.sync"));
  assert.deepEqual(kept(buffer), [other, part, updated, elsewhere, sync]);
  buffer.ack(part);
  const again = add(buffer, at("message.part.streamed", { part_id: "p1" }));
  assert.deepEqual(kept(buffer), [updated, elsewhere, sync, again]);
});

test("over the limit the least important goes first, the oldest of it", () => {
  const buffer = new UnackedBuffer({ events: 4, bytes: 1e9 });
  const idle = add(buffer, at("session.idle"));
  const tool = add(buffer, at("tool.executed"));
  const first = add(buffer, at("message.part.streamed", { part_id: "a" }));
  const second = add(buffer, at("message.part.streamed", { part_id: "b" }));
  const asked = add(buffer, at("permission.asked"));
  assert.ok(!kept(buffer).includes(first));
  assert.deepEqual(kept(buffer), [idle, tool, second, asked]);
  const usage = add(buffer, at("usage"));
  assert.deepEqual(kept(buffer), [idle, tool, asked, usage]);
  const replied = add(buffer, at("permission.replied"));
  assert.deepEqual(kept(buffer), [idle, tool, asked, replied]);
  assert.equal(buffer.dropped, 3);
});

test("permission and question events stay, whatever the limit", () => {
  const buffer = new UnackedBuffer({ events: 3, bytes: 50 });
  const types = ["permission.asked", "question.asked", "permission.replied", "question.replied", "permission.asked"];
  const seqs = types.map((t) => add(buffer, at(t), "x".repeat(40)));
  add(buffer, at("session.idle"), "x".repeat(40));
  assert.deepEqual(kept(buffer), seqs);
});

test("bytes are bounded as well", () => {
  const buffer = new UnackedBuffer({ events: 1e6, bytes: 10_000 });
  for (let i = 0; i < 5000; i++) add(buffer, at("message.part.streamed", { part_id: `p${i}` }), "ä".repeat(100));
  assert.ok(buffer.bytes <= 10_000);
  assert.equal(buffer.size, 50);
});

test("a frame over 1 MiB is cut until it fits", () => {
  const streamed = at("message.part.streamed", { content: "\u0001".repeat(700_000) });
  const encoded = encodeEvent(streamed);
  assert.ok(Buffer.byteLength(encoded) <= FRAME_MAX);
  assert.equal(JSON.parse(encoded).truncated, true);
  const sessions = Array.from({ length: 100 }, () => ({ title: "x".repeat(20_000) }));
  const sync = at("state.sync", { sessions, permissions: [], questions: [], busy: [], complete: true });
  const cut = JSON.parse(encodeEvent(sync));
  assert.ok(cut.sessions.length > 10 && cut.sessions.length < 100);
  assert.equal(encodeEvent(at("session.error", { message: "x".repeat(FRAME_MAX) })), undefined);
});
