import assert from "node:assert/strict";
import test from "node:test";
import { eventually, load } from "./lib/load.mjs";

const { Link } = await load("link");
const { Backoff } = await load("backoff");

test("delays double from 0.5 s to 30 s, with jitter, and begin anew", () => {
  const low = new Backoff(500, 30_000, () => 0);
  assert.deepEqual(Array.from({ length: 9 }, () => low.next()), [500, 500, 1000, 2000, 4000, 8000, 15000, 15000, 15000]);
  const high = new Backoff(500, 30_000, () => 1);
  assert.deepEqual(Array.from({ length: 9 }, () => high.next()), [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000, 30000]);
  high.reset();
  assert.equal(high.next(), 500);
  high.giveWay();
  assert.equal(high.next(), 30000);
  const random = new Backoff();
  for (let i = 0; i < 50; i++) assert.ok(((d) => d >= 500 && d <= 30000)(random.next()));
});

class FakeSocket {
  bufferedAmount = 0;
  sent = [];
  closed = undefined;
  send(data) {
    if (this.broken) throw new Error("broken");
    this.sent.push(JSON.parse(data));
  }
  close(code) {
    this.closed = code ?? 1000;
  }
  get(frame) {
    this.onmessage?.({ data: typeof frame === "string" ? frame : JSON.stringify(frame) });
  }
}

function start(t, more = {}) {
  const sockets = [];
  const seen = { frames: [], welcomes: [], lost: 0, log: [] };
  const link = new Link(
    {
      hello: () => ({ type: "hello" }),
      welcome: (after) => seen.welcomes.push(after),
      frame: (frame) => seen.frames.push(frame),
      lost: () => seen.lost++,
      log: (m) => seen.log.push(m),
    },
    {
      open: () => {
        const socket = more.open?.(sockets.length) ?? new FakeSocket();
        sockets.push(socket);
        return socket;
      },
      backoff: more.backoff ?? new Backoff(1, 4),
      ...more.times,
    },
  );
  t.after(() => link.stop());
  link.start();
  const welcome = (socket, more = {}) => {
    socket.onopen({});
    socket.get({ type: "welcome", protocol: 1, gateway_version: "x", resume_after: 7, ...more });
  };
  return { link, sockets, seen, welcome };
}

test("says hello, hands over the welcome, then frames", (t) => {
  const { link, sockets, seen, welcome } = start(t);
  sockets[0].get({ type: "ping", request_id: "early" });
  assert.equal(link.send("{}"), false);
  welcome(sockets[0]);
  assert.deepEqual(sockets[0].sent, [{ type: "hello" }]);
  assert.deepEqual(seen.welcomes, [7]);
  sockets[0].get({ type: "ack", seq: 1 });
  assert.deepEqual(seen.frames, [{ type: "ack", seq: 1 }]);
  assert.equal(link.send('{"type":"x"}'), true);
  sockets[0].bufferedAmount = 2 * 1024 * 1024;
  assert.equal(link.ready, false);
});

test("connects again after a loss; what comes late from the old socket is not heard", async (t) => {
  const { sockets, seen, welcome } = start(t);
  welcome(sockets[0]);
  const late = sockets[0].onmessage;
  sockets[0].onclose({ code: 1006 });
  assert.equal(seen.lost, 1);
  await eventually("a second socket", () => sockets.length === 2);
  welcome(sockets[1], { resume_after: "no number" });
  late({ data: '{"type":"ack","seq":1}' });
  assert.deepEqual(seen.frames, []);
  assert.deepEqual(seen.welcomes, [7, 0]);
});

test("an opener that throws, a socket that throws, a welcome that never comes", async (t) => {
  const { sockets, seen, welcome, link } = start(t, {
    times: { welcomeMs: 20 },
    open: (n) => {
      if (n === 0) {
        sockets.push(null);
        throw new Error("no WebSocket");
      }
    },
  });
  await eventually("the next attempt", () => sockets.length === 2);
  await eventually("the one after a silent gateway", () => sockets.length === 3);
  welcome(sockets[2]);
  sockets[2].broken = true;
  assert.equal(link.send("{}"), false);
  await eventually("one after a broken socket", () => sockets.length === 4);
  assert.match(seen.log.join("\n"), /no WebSocket[^]*no welcome in time[^]*could not send/);
});

test("frames that cannot be read are ignored, too big ones end the link", async (t) => {
  const { sockets, seen, welcome } = start(t);
  welcome(sockets[0]);
  for (const bad of ["{", "[]", "null", '"x"', '{"type":1}', '{"a":1}']) sockets[0].get(bad);
  sockets[0].onmessage({ data: new Uint8Array(3) });
  assert.deepEqual([seen.frames, seen.lost], [[], 0]);
  sockets[0].get(JSON.stringify({ type: "x", pad: "ä".repeat(600_000) }));
  assert.deepEqual([seen.frames, seen.lost, sockets[0].closed], [[], 1, 1009]);
});

test("refusals make it wait longest", (t) => {
  const backoff = new Backoff(1, 60_000, () => 1);
  const { sockets, seen } = start(t, { backoff });
  sockets[0].onopen({});
  sockets[0].get({ type: "error", code: "unauthorized", message: "no" });
  assert.equal(backoff.next(), 60_000);
  assert.match(seen.log[0], /unauthorized: no/);
});

test("another protocol is refused", (t) => {
  const { sockets, seen, welcome } = start(t);
  welcome(sockets[0], { protocol: 2 });
  assert.deepEqual(seen.welcomes, []);
  assert.equal(sockets[0].closed, 4406);
});

test("after a ping, silence ends the link", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { sockets, seen, welcome } = start(t, { times: { silenceMs: 30 } });
  welcome(sockets[0]);
  t.mock.timers.tick(20_000);
  assert.equal(seen.lost, 0, "a gateway that never pings may be silent");
  sockets[0].get({ type: "ping", request_id: "1" });
  assert.equal(seen.frames.length, 1);
  t.mock.timers.tick(20);
  sockets[0].get({ type: "ack", seq: 1 });
  t.mock.timers.tick(29);
  assert.equal(seen.lost, 0);
  t.mock.timers.tick(1);
  assert.equal(seen.lost, 1);
  assert.match(seen.log.at(-1), /silent/);
});
