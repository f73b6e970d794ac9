// What every test on containerd needs: the image, a containerd, a scripted model that a pod can
// reach, the manifests of k8s/overlays/k8s-lab as they are written, folders that stand for claims.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import { goldenCheckout, modelConfig } from "../../e2e/lib/pod.mjs";
import { kubectl } from "../../e2e/lib/tools.mjs";
import { TOP, eventually, firstLine, run, sh, tempDir } from "../../e2e/lib/util.mjs";
import { startContainerd } from "./containerd.mjs";
import { makePod } from "./kubelet.mjs";

const { parseAllDocuments } = createRequire(import.meta.url)("yaml");

export const HOST = "10.99.0.1"; // this machine as the pods see it
export const IMAGE = process.env.CODEV_IMAGE ?? "localhost/codev-init:test";
export const MANIFEST_IMAGE = "images.example/codev-init:0.1.0";

// Why these tests cannot run here, or false.
export function cannot() {
  if (process.getuid() !== 0) return "needs root for containers";
  for (const tool of ["podman", "containerd"]) if (!onPath(tool)) return `needs ${tool}`;
  if (!kubectl) return "needs kubectl 1.27 or newer: make kubectl";
  try {
    sh("podman", ["image", "exists", IMAGE]);
  } catch {
    return `no image ${IMAGE}: tests/container/build.sh makes it`;
  }
  return false;
}

const onPath = (tool) => (process.env.PATH ?? "").split(":").some((dir) => fs.existsSync(path.join(dir, tool)));

const parsed = (text) =>
  parseAllDocuments(text)
    .map((d) => d.toJS())
    .filter(Boolean);
export const manifests = (overlay) => parsed(sh(kubectl, ["kustomize", path.join(TOP, "k8s/overlays", overlay)]));

// k8s-lab with components, as an installation's own overlay would have it.
export function withComponents(...components) {
  const at = fs.mkdtempSync(path.join(TOP, "build/overlay-"));
  const top = path.relative(at, path.join(TOP, "k8s"));
  fs.writeFileSync(
    path.join(at, "kustomization.yaml"),
    JSON.stringify({
      apiVersion: "kustomize.config.k8s.io/v1beta1",
      kind: "Kustomization",
      resources: [`${top}/overlays/k8s-lab`],
      components: components.map((name) => `${top}/components/${name}`),
    }),
  );
  try {
    return parsed(sh(kubectl, ["kustomize", at]));
  } finally {
    fs.rmSync(at, { recursive: true });
  }
}

export const secret = (name, stringData) => ({ apiVersion: "v1", kind: "Secret", metadata: { name }, stringData });

async function helperProcess(script, args, match) {
  const child = run(process.execPath, [path.join(TOP, script), ...args]);
  return { child, line: await firstLine(child, match) };
}

export async function startLab() {
  const dir = tempDir("lab");
  sh("podman", ["tag", IMAGE, MANIFEST_IMAGE]);
  const containerd = await startContainerd(path.join(dir, "containerd"), [MANIFEST_IMAGE]);
  const model = await helperProcess("tests/fakes/llm/server.mjs", ["0", HOST], (l) => l.includes("http://"));
  const url = /http:\S+/.exec(model.line)[0];
  const { repo } = await goldenCheckout();
  const pods = [];
  let count = 0;
  const lab = {
    dir,
    containerd,
    // A folder that stands for a claim; its root belongs to root, as a new volume's does.
    claim(name) {
      const at = path.join(dir, "claims", `${name}-${count++}`);
      fs.mkdirSync(at, { recursive: true });
      return at;
    },
    // A repositories claim as a developer's: an ai-dev checkout, a model of the scripted kind.
    sources({ prepared = true } = {}) {
      const at = lab.claim("src");
      fs.mkdirSync(path.join(at, "repos"));
      sh("cp", ["-a", repo, path.join(at, "repos/ai-dev")]);
      if (!prepared)
        for (const name of ["node_modules", "dist"])
          fs.rmSync(path.join(at, "repos/ai-dev/plugins/opencode-bridge", name), { recursive: true });
      fs.mkdirSync(path.join(at, ".opencode"));
      fs.writeFileSync(path.join(at, ".opencode/opencode.json"), JSON.stringify(modelConfig(url)));
      sh("chown", ["-R", "1000:1000", at]);
      return at;
    },
    // The pod of k8s-lab, or of other `objects`. `change(objects)` may alter what was written; say
    // why where it is used.
    async pod({ objects = manifests("k8s-lab"), claims = {}, change, podName } = {}) {
      change?.(objects);
      const own = objects.some((o) => o.kind === "StatefulSet");
      const all = { ...claims };
      if (own) Object.assign(all, { state: claims.state ?? lab.claim("state"), src: claims.src ?? lab.sources() });
      const pod = makePod(containerd, path.join(dir, `pod-${count++}`), objects, { claims: all, podName });
      Object.assign(pod, { objects, claims: all }, talk(pod));
      pods.push(pod);
      return pod.start();
    },
    // A Job's pod, to its end.
    async job(objects, claims) {
      const pod = await lab.pod({ objects, claims });
      const last = await eventually("the job ends", () => pod.last, 120000, 300);
      const log = pod.log();
      await pod.remove();
      return { ...last, log };
    },
    async slack() {
      const { child, line } = await helperProcess(
        "tests/fakes/slack/server.mjs",
        ["--port", "0", "--quiet", "true", "--host", HOST, "--manifest", path.join(TOP, "bridge/slack-app-manifest.yaml")],
        (l) => l.startsWith("{"),
      );
      const info = JSON.parse(line);
      const control = async (name, body) =>
        (await fetch(info.control + name, { method: body ? "POST" : "GET", body: body && JSON.stringify(body) })).json();
      lab.children.push(child);
      return { ...info, control };
    },
    children: [model.child],
    async end() {
      for (const pod of pods) if (!pod.removed) await pod.remove().catch(() => {});
      await containerd.stop();
      for (const child of lab.children) child.kill("SIGKILL");
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
  return lab;
}

// How a test talks to a pod: as kubectl exec and as whoever can reach its address.
function talk(pod) {
  return {
    ctl: (...args) => pod.exec(["codevctl", ...args], { timeout: 180 }),
    async status() {
      const { out, err } = await pod.ctl("status", "--json");
      if (!out) throw new Error(`no status: ${err}`);
      return JSON.parse(out);
    },
    service: async (name) => (await pod.status()).services.find((s) => s.name === name),
    async servicePid(name) {
      const inner = String((await pod.service(name)).pid);
      const space = fs.readlinkSync(`/proc/${await pod.hostPid()}/ns/pid`);
      for (const entry of fs.readdirSync("/proc").filter((e) => /^\d+$/.test(e))) {
        try {
          if (fs.readlinkSync(`/proc/${entry}/ns/pid`) !== space) continue;
          const ids = /^NSpid:\s+(.*)$/m.exec(fs.readFileSync(`/proc/${entry}/status`, "utf8"))[1].split(/\s+/);
          if (ids.at(-1) === inner) return Number(entry);
        } catch {
          continue; // it ended
        }
      }
      throw new Error(`no process for ${name}`);
    },
    async oc(route, init = {}) {
      const password = (await pod.ctl("password")).out.trim();
      const response = await fetch(`http://${pod.ip}:8080${route}`, {
        ...init,
        headers: { authorization: `Basic ${Buffer.from(`opencode:${password}`).toString("base64")}`, ...(init.body ? { "content-type": "application/json" } : {}) },
        signal: AbortSignal.timeout(30000),
      });
      const text = await response.text();
      return { status: response.status, body: text ? JSON.parse(text) : null };
    },
    async api(route, init = {}) {
      const token = (await pod.ctl("token")).out.trim();
      const response = await fetch(`http://${pod.ip}:8000${route}`, {
        ...init,
        headers: { authorization: `Bearer ${token}`, ...(init.body ? { "content-type": "application/json" } : {}) },
        signal: AbortSignal.timeout(15000),
      });
      const text = await response.text();
      return { status: response.status, body: text ? JSON.parse(text) : null };
    },
    probe: async (name) => {
      const response = await fetch(`http://${pod.ip}:8081/${name}`, { signal: AbortSignal.timeout(3000) });
      return { status: response.status, text: await response.text() };
    },
  };
}
