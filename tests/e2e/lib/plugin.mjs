// A bridge plugin as the gateway sees one, without an OpenCode: for tests of several pods, and of the
// first generation. Frames of both sides are checked against the schema.
import { WebSocket } from "ws";
import { problemOf } from "./bridge.mjs";
import { eventually } from "./util.mjs";

const ANSWERS = {
  "session.abort": (f) => ({ type: "session.abort.result", session_id: f.session_id }),
  "session.message": (f) => ({ type: "session.message.result", session_id: f.session_id }),
  "session.messages": (f) => ({ type: "session.messages.result", session_id: f.session_id, truncated: false, messages: [] }),
  "permission.reply": (f) => ({ type: "permission.reply.result", permission_id: f.permission_id }),
  "question.reply": (f) => ({ type: "question.reply.result", question_id: f.question_id }),
  "state.sync": (f) => ({ type: "state.sync.result", directories: f.directory ? [f.directory] : [] }),
  ping: () => ({ type: "pong", time: Date.now() }),
};

// `url`: of the gateway. `protocol` 0: of the first generation, which says no hello. `lastSeq`: of the
// link before, when it is the same process that comes again.
export async function connectPlugin(url, { token, pod = "pod-2", directory = "/far/away", protocol = 1, lastSeq = 0 }) {
  const ws = new WebSocket(`${url.replace("http", "ws")}/ws/bridge`, { headers: { authorization: `Bearer ${token}` } });
  const plugin = { frames: [], problems: [], seq: lastSeq };
  const check = (frame, from) => protocol && problemOf(frame, from) && plugin.problems.push(`${problemOf(frame, from)}: ${JSON.stringify(frame)}`);
  const send = (frame) => {
    check(frame, "plugin");
    ws.send(JSON.stringify(frame));
  };
  await new Promise((resolve, reject) => (ws.once("open", resolve), ws.once("error", reject)));
  ws.on("error", () => {});
  ws.on("message", (data) => {
    const frame = JSON.parse(data.toString());
    check(frame, "gateway");
    plugin.frames.push(frame);
    if (frame.request_id && ANSWERS[frame.type]) send({ ...ANSWERS[frame.type](frame), request_id: frame.request_id });
  });
  const versions = { protocol, plugin_version: "1.0.0", opencode_version: "1.18.33" };
  if (protocol) send({ type: "hello", ...versions, pod, instance: `instance-of-${pod}`, directory, directories: [directory], last_seq: lastSeq });
  plugin.event = (fields) => send(protocol ? { seq: ++plugin.seq, time: Date.now(), directory, ...fields } : fields);
  plugin.session = (id, title) => {
    plugin.event({ type: "session.created", session_id: id, root_session_id: id, session: { id, directory, title, created_ms: Date.now(), updated_ms: Date.now() } });
    plugin.event({ type: "session.active", session_id: id, root_session_id: id });
  };
  plugin.bash = (id, request, command) =>
    plugin.event({
      ...{ type: "permission.asked", session_id: id, root_session_id: id },
      permission: { id: request, permission: "bash", patterns: [command], always: [`${command} *`], metadata: { command } },
    });
  plugin.told = (what, match) => eventually(`pod ${pod} is told ${what}`, () => plugin.frames.find(match));
  plugin.close = () => ws.terminate();
  return plugin;
}
