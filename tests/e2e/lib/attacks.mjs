// What an agent tries, from its bash tool, from a terminal and with OpenCode's own tools.
import path from "node:path";

const ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount/token";
const FILED = "/run/filed/github-token";

// Secrets where Kubernetes and a manifest put them.
export const secretFiles = { account: ACCOUNT, filed: FILED };

const read = (file) => `head -c 4 '${file}' >/dev/null && echo "WON ${file}" || echo "lost ${file}"`;
const write = (file) => `(: >> '${file}') 2>/dev/null && echo "WON ${file}" || echo "lost ${file}"`;

// [name, command]; in the command, A is the attack program. `uid`: only for an ordinary user.
export function attacks(pod) {
  const A = path.join(pod.tools, "attack");
  const ask = (...args) => `node ${path.join(pod.tools, "ask.mjs")} ${args.join(" ")}`;
  const others = ["1", "codev-gateway", "codev-probes", "g:gateway", "g:opencode"];
  const looks = ["environ", "mem", "fd", "ptrace", "readv", "getfd", "signal"];
  const kernel = [
    ...["unshare", "userns", "clone3", "bpf", "io_uring", "keyring", "add_key", "perf", "userfaultfd", "chroot"],
    ...["mount /mnt", `mknod ${pod.src}/device`, "handle /etc/passwd"],
  ];
  const own = `$(pgrep -x opencode)`;
  const data = path.join(pod.home, ".local/share/opencode");
  return [
    ...others.flatMap((who) => looks.map((how) => [`${how} of ${who}`, `${A} ${how} ${who}`])),
    ...["environ", "mem", "fd", "ptrace", "readv", "getfd"].map((how) => [`${how} of OpenCode`, `${A} ${how} ${own}`]),
    ...kernel.map((call) => [call, `${A} ${call}`]),
    // Escapes: the walls are not made of names, sessions or parents.
    ["a renamed program", `cp ${A} ${pod.src}/codev-init && ${pod.src}/codev-init environ codev-gateway`],
    ["a session of its own", `setsid -w ${A} environ codev-gateway`],
    [
      "a double fork",
      `F=$(mktemp); (setsid sh -c "sleep 0.2; ${A} environ codev-gateway > $F.new; mv $F.new $F" >/dev/null 2>&1 &); ` +
        `for i in $(seq 100); do [ -s $F ] && break; sleep 0.1; done; cat $F`,
    ],
    // Files.
    ["the service account's token", read(ACCOUNT)],
    ["a secret by its file", read(FILED)],
    ["own state: read", read(`${pod.state}/opencode-password`)],
    ["own state: write", write(`${pod.state}/gateway.db`)],
    ["own state: make", write(`${pod.state}/new`)],
    ["the runtime folder: write", write(`${pod.runtime}/new`)],
    ["a login ticket", `cat ${pod.runtime}/logins/login-* 2>/dev/null | grep -qE "[0-9a-f]{32}" && echo WON || echo lost`],
    ["the runtime folder: OpenCode's environment", write(`${pod.runtime}/opencode.env`)],
    // OpenCode's own: sessions with their rules, and what its auth.json makes it do.
    ["OpenCode's database: read", read(`${data}/opencode.db`)],
    ["OpenCode's database: write", write(`${data}/opencode.db`)],
    ["OpenCode's keys: read", read(`${data}/auth.json`)],
    ["OpenCode's keys: write", write(`${data}/auth.json`)],
    ["OpenCode's folder: make", write(`${data}/new`)],
    ["OpenCode's folder: remove", `touch ${data}/log/x; mv ${data}/log ${data}/log-2 && mv ${data}/log-2 ${data}/log && echo WON || echo lost`],
    ["the control socket", `${A} control ${pod.runtime}/control.sock`],
    ["codevctl", `CODEV_RUNTIME_DIR=${pod.runtime} codevctl status 2>&1 | grep -q plugin-watch && echo WON || echo lost`],
    // Secrets.
    ["the password in the environment", `env | grep -q ${pod.password} && echo WON || echo lost`],
    ["the password of OpenCode", `tr '\\0' '\\n' < /proc/${own}/environ | grep -q SERVER_PASSWORD= && echo WON || echo lost`],
    ["any password anywhere", `cat /proc/[0-9]*/environ 2>/dev/null | grep -aq ${pod.password} && echo WON || echo lost`],
    ["a decision at the gateway", ask("decide", pod.api, pod.state)],
    ["a second bridge", ask("bridge", pod.api, pod.state)],
  ];
}


// What is looked for from a terminal of OpenCode's API, which a person opened.
export function terminalAttacks(pod) {
  const A = path.join(pod.tools, "attack");
  const own = "$(pgrep -x opencode)";
  return [
    ["the password in its environment", `env | grep -q ${pod.password} && echo WON || echo lost`],
    ...["environ", "mem", "ptrace", "readv"].map((how) => [`${how} of OpenCode`, `${A} ${how} ${own}`]),
    ["environ of the gateway", `${A} environ codev-gateway`],
    ["the control socket", `${A} control ${pod.runtime}/control.sock`],
    ["own state", read(`${pod.state}/opencode-password`)],
  ];
}

// A terminal, as OpenCode's own web page opens one.
export async function terminal(pod, body) {
  const where = `?directory=${encodeURIComponent(pod.src)}`;
  return pod.oc(`/pty${where}`, { method: "POST", body: JSON.stringify({ title: "Test", cwd: pod.src, ...body }) });
}
