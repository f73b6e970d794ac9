// The kubelet's probe loops, with the manifest's own periods and thresholds.
import net from "node:net";

const rule = (probe) => ({
  delay: (probe.initialDelaySeconds ?? 0) * 1000,
  period: (probe.periodSeconds ?? 10) * 1000,
  timeout: (probe.timeoutSeconds ?? 1) * 1000,
  successes: probe.successThreshold ?? 1,
  failures: probe.failureThreshold ?? 3,
});

const numbered = (container, port) =>
  typeof port === "number" ? port : container.ports.find((p) => p.name === port).containerPort;

// Asks once. Returns {ok, text}; a timeout or a refused connection is a failure.
async function ask(probe, { ip, container, exec }) {
  const { timeout } = rule(probe);
  try {
    if (probe.exec) {
      const { code, out, err } = await exec(probe.exec.command, timeout / 1000);
      return { ok: code === 0, text: (out + err).trim() };
    }
    if (probe.httpGet) {
      const { path = "/", port, httpHeaders = [] } = probe.httpGet;
      const response = await fetch(`http://${ip}:${numbered(container, port)}${path}`, {
        headers: { "user-agent": "kube-probe/1.32", ...Object.fromEntries(httpHeaders.map((h) => [h.name, h.value])) },
        redirect: "manual",
        signal: AbortSignal.timeout(timeout),
      });
      const text = await response.text();
      return { ok: response.status >= 200 && response.status < 400, text: `${response.status} ${text.trim()}` };
    }
    const socket = net.connect(numbered(container, probe.tcpSocket.port), ip);
    return await new Promise((resolve) => {
      socket.setTimeout(timeout, () => socket.destroy(new Error("timeout")));
      socket.on("connect", () => (resolve({ ok: true, text: "" }), socket.destroy()));
      socket.on("error", (error) => resolve({ ok: false, text: error.message }));
    });
  } catch (error) {
    return { ok: false, text: error.message };
  }
}

// Runs one probe until stop() is called. `changed(ok, text)` is told each time that the threshold is
// passed the other way, and again for each further failed round when `repeat`.
export function probeLoop(probe, target, initially, changed) {
  const { delay, period, successes, failures } = rule(probe);
  let [verdict, run, last, stopped] = [initially, 0, null, false];
  const round = async () => {
    const { ok, text } = await ask(probe, target);
    if (stopped) return;
    run = ok === last ? run + 1 : 1;
    last = ok;
    if (ok !== verdict && run >= (ok ? successes : failures)) changed((verdict = ok), text);
    timer = setTimeout(round, period);
  };
  let timer = setTimeout(round, delay);
  return {
    stop() {
      stopped = true;
      clearTimeout(timer);
    },
  };
}
