// Relays that do what is asked and swallow the answer: one between the gateway and OpenCode (HTTP),
// one between the plugin and the gateway (the bridge's WebSocket). `lose(rule)` arms one loss;
// `waiting()` tells how many were not met yet.
import http from "node:http";
import WebSocket, { WebSocketServer } from "ws";

function rules() {
  const armed = [];
  return {
    lose: (rule) => armed.push(rule),
    waiting: () => armed.length,
    forget: () => armed.splice(0),
    take(match) {
      const at = armed.findIndex(match);
      return at < 0 ? undefined : armed.splice(at, 1)[0];
    },
  };
}

const listen = (server) =>
  new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => resolve(server.address().port));
  });

// A rule: { route: /^POST .../, how: "reset" | "hang" | "5xx" }. The request is answered by OpenCode
// in full before its answer is lost.
export async function startHttpRelay(target) {
  const { take, ...relay } = rules();
  const server = http.createServer((req, res) => {
    const rule = take((r) => r.route.test(`${req.method} ${new URL(req.url, target).pathname}`));
    const up = http.request(new URL(req.url, target), { method: req.method, headers: req.headers }, (answer) => {
      if (!rule) {
        res.writeHead(answer.statusCode, answer.headers);
        return answer.pipe(res);
      }
      answer.resume().on("end", () => {
        if (rule.how === "hang") return;
        if (rule.how === "5xx") return res.writeHead(502).end("upstream error");
        res.socket?.destroy();
      });
    });
    up.on("error", () => res.destroy());
    res.on("close", () => up.destroy());
    req.pipe(up);
  });
  const port = await listen(server);
  return { ...relay, url: `http://127.0.0.1:${port}`, stop: () => (server.closeAllConnections(), server.close()) };
}

// A rule: { type: "session.created", how: "reset" | "hang" }: the plugin's answer of that type never
// arrives; "reset" takes the link with it. `target()` is the gateway's ws:// address of the moment.
export async function startBridgeRelay(target) {
  const { take, ...relay } = rules();
  const server = http.createServer();
  const sockets = new WebSocketServer({ server });
  sockets.on("connection", (down, req) => {
    const early = [];
    let up;
    const end = () => (down.terminate(), up?.terminate());
    down.on("close", end).on("error", end);
    if (!target()) return end();
    up = new WebSocket(target() + req.url, { headers: { authorization: req.headers.authorization } });
    up.on("close", end).on("error", end);
    up.on("open", () => early.splice(0).forEach((text) => up.send(text)));
    up.on("message", (data) => down.send(data.toString()));
    down.on("message", (data) => {
      const frame = JSON.parse(data);
      const rule = frame.request_id !== undefined && take((r) => r.type === frame.type);
      if (rule?.how === "reset") return end();
      if (rule) return;
      if (up.readyState === WebSocket.OPEN) up.send(data.toString());
      else early.push(data.toString());
    });
  });
  const port = await listen(server);
  return { ...relay, url: `ws://127.0.0.1:${port}`, stop: () => (sockets.clients.forEach((c) => c.terminate()), server.close()) };
}
