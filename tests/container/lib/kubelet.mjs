// As much of a kubelet as the tests need: runs the pod of a StatefulSet, Deployment, Job or CronJob
// on containerd, makes its volumes, asks its probes, restarts its containers, stops them in order.
// What it leaves out: admission, scheduling, NetworkPolicy, several init containers side by side.
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { eventually, run, sh, sleep } from "../../e2e/lib/util.mjs";
import { bytes, contents, makeVolume, project, subPath } from "./volumes.mjs";
import { probeLoop } from "./probes.mjs";

const milli = (q) => (q === undefined ? 0 : /m$/.test(q) ? parseInt(q, 10) : Number(q) * 1000);
const PODS_MAX = 4096; // a node's pod pids limit

function template(object) {
  const spec = object.spec;
  const pod = { Pod: () => object, CronJob: () => spec.jobTemplate.spec.template }[object.kind] ?? (() => spec.template);
  return pod();
}

// What a Service makes of every pod's environment unless enableServiceLinks is false.
function serviceLinks(objects, address = "10.0.0.10") {
  const env = [];
  for (const { metadata, spec } of objects.filter((o) => o.kind === "Service" && o.spec.clusterIP !== "None")) {
    const name = metadata.name.toUpperCase().replaceAll("-", "_");
    const first = spec.ports[0].port;
    env.push([`${name}_SERVICE_HOST`, address], [`${name}_SERVICE_PORT`, first], [`${name}_PORT`, `tcp://${address}:${first}`]);
    for (const p of spec.ports) {
      env.push([`${name}_SERVICE_PORT_${p.name.toUpperCase()}`, p.port]);
      env.push([`${name}_PORT_${p.port}_TCP`, `tcp://${address}:${p.port}`]);
    }
  }
  return env.map(([key, value]) => ({ key, value: String(value) }));
}

// objects   what kubectl kustomize printed, parsed
// options   claims: folder of each claim; name: the object to run (default: the first workload)
export function makePod(containerd, dir, objects, options) {
  const { claims, name: wanted } = options;
  const { call } = containerd;
  const kinds = ["StatefulSet", "Deployment", "Pod", "Job", "CronJob"];
  const top = objects.find((o) => kinds.includes(o.kind) && (!wanted || o.metadata.name === wanted));
  const { spec, metadata: { labels = {} } = {} } = template(top);
  const find = (kind, name) => objects.find((o) => o.kind === kind && o.metadata.name === name);
  const podName = options.podName ?? `${top.metadata.name}-0`;
  const namespace = top.metadata.namespace ?? "default";
  const group = spec.securityContext?.fsGroup;
  const volumes = {};
  const state = new Map(); // by container name
  const pod = { name: podName, namespace, spec, dir, events: [], volumes, ip: null, stopping: false };
  const note = (text) => pod.events.push({ at: Date.now(), text });

  function makeVolumes() {
    fs.mkdirSync(path.join(dir, "log"), { recursive: true });
    const from = (top.spec.volumeClaimTemplates ?? []).map(({ metadata: { name } }) => ({
      name,
      persistentVolumeClaim: { claimName: name },
    }));
    for (const volume of [...(spec.volumes ?? []), ...from])
      volumes[volume.name] = makeVolume(volume, { dir: path.join(dir, "volumes"), group, find, claims });
  }

  function sandboxConfig(uid) {
    return {
      metadata: { name: podName, uid, namespace, attempt: 0 },
      hostname: podName,
      log_directory: path.join(dir, "log"),
      labels: Object.entries(labels).map(([key, value]) => ({ key, value })),
      dns_config: {},
      linux: {
        cgroup_parent: `/kubepods/pod${uid}`,
        security_context: { namespace_options: { pid: "CONTAINER", network: "POD" } },
      },
    };
  }

  function value({ value = "", valueFrom: from }, container) {
    if (!from) return value;
    const fields = { "metadata.name": podName, "metadata.namespace": namespace, "status.podIP": pod.ip, "spec.nodeName": "node-1", "metadata.uid": pod.uid };
    if (from.fieldRef) return fields[from.fieldRef.fieldPath];
    if (from.resourceFieldRef) return String(bytes(container.resources.limits.memory));
    const [kind, ref] = from.configMapKeyRef ? ["ConfigMap", from.configMapKeyRef] : ["Secret", from.secretKeyRef];
    const found = contents(find(kind, ref.name))[ref.key];
    if (found === undefined && !ref.optional) throw new Error(`no ${ref.key} in ${kind} ${ref.name}`);
    return found === undefined ? undefined : String(found);
  }

  function containerConfig(c, attempt) {
    const security = { ...spec.securityContext, ...c.securityContext };
    const limits = c.resources?.limits ?? {};
    const requests = c.resources?.requests ?? limits;
    const message = path.join(dir, `${c.name}.termination`);
    fs.writeFileSync(message, "");
    fs.chmodSync(message, 0o666);
    const env = [...(spec.enableServiceLinks === false ? [] : serviceLinks(objects)), ...(c.env ?? []).map((e) => ({ key: e.name, value: value(e, c) }))];
    return {
      metadata: { name: c.name, attempt },
      image: { image: options.image?.(c.image) ?? c.image },
      command: c.command ?? [],
      args: c.args ?? [],
      working_dir: c.workingDir ?? "",
      envs: env.filter((e) => e.value !== undefined),
      mounts: [
        ...(c.volumeMounts ?? []).map((m) => ({
          container_path: m.mountPath,
          host_path: m.subPath ? subPath(volumes[m.name], m.subPath) : volumes[m.name],
          readonly: m.readOnly ?? false,
        })),
        { container_path: "/dev/termination-log", host_path: message },
        ...(spec.hostAliases ? [{ container_path: "/etc/hosts", host_path: hostsFile() }] : []),
      ],
      log_path: `${c.name}_${attempt}.log`,
      linux: {
        resources: {
          memory_limit_in_bytes: bytes(limits.memory),
          cpu_period: 100000,
          cpu_quota: milli(limits.cpu) * 100,
          cpu_shares: Math.max(2, Math.trunc((milli(requests.cpu) * 1024) / 1000)),
          oom_score_adj: 1000,
        },
        security_context: securityContext(security),
      },
    };
  }

  function hostsFile() {
    const file = path.join(dir, "hosts");
    const lines = spec.hostAliases.map(({ ip, hostnames }) => `${ip} ${hostnames.join(" ")}`);
    fs.writeFileSync(file, `127.0.0.1 localhost\n${pod.ip} ${podName}\n${lines.join("\n")}\n`);
    return file;
  }

  async function startContainer(c) {
    const attempt = (state.get(c.name)?.attempt ?? -1) + 1;
    const config = containerConfig(c, attempt);
    const { container_id: id } = await call("CreateContainer", {
      pod_sandbox_id: pod.sandbox,
      config,
      sandbox_config: sandboxConfig(pod.uid),
    });
    await call("StartContainer", { container_id: id });
    limitPids(pod.uid);
    const s = { id, attempt, ready: !c.readinessProbe, started: !c.startupProbe, loops: [], startedAt: Date.now() };
    state.set(c.name, s);
    note(`started ${c.name}`);
    startProbes(c, s);
    return s;
  }

  function startProbes(c, s) {
    const target = { ip: pod.ip, container: c, exec: (argv, timeout) => pod.exec(argv, { container: c.name, timeout }) };
    const kill = (which) => async (ok, text) => {
      if (ok) return;
      note(`${which} probe of ${c.name} failed: ${text}`);
      await stopContainer(c, s);
    };
    const others = () => {
      s.started = true;
      s.startedAfter = Date.now() - s.startedAt;
      if (c.readinessProbe)
        s.loops.push(
          probeLoop(c.readinessProbe, target, false, (ok, text) => {
            s.ready = ok;
            s.readyAfter ??= Date.now() - s.startedAt;
            note(`${c.name} ${ok ? "ready" : `not ready: ${text}`}`);
          }),
        );
      if (c.livenessProbe) s.loops.push(probeLoop(c.livenessProbe, target, true, kill("liveness")));
    };
    if (!c.startupProbe) return others();
    // Null: neither passed nor failed yet, so that both are told.
    s.loops.push(
      probeLoop(c.startupProbe, target, null, (ok, text) => {
        for (const loop of s.loops.splice(0)) loop.stop();
        if (ok) others();
        else void kill("startup")(false, text);
      }),
    );
  }

  async function stopContainer(c, s) {
    for (const loop of s.loops.splice(0)) loop.stop();
    s.ready = false;
    const from = Date.now();
    const grace = spec.terminationGracePeriodSeconds ?? 30;
    const hook = c.lifecycle?.preStop?.exec;
    if (hook) await pod.exec(hook.command, { container: c.name, timeout: grace }).catch((e) => note(`preStop: ${e.message}`));
    await call("StopContainer", { container_id: s.id, timeout: grace });
    s.stoppedAfter = Date.now() - from;
  }

  // Sees what ended, and starts it again: at once, then with the kubelet's back-off.
  async function watch() {
    for (let pause = 0; !pod.stopping; await sleep(300)) {
      for (const c of spec.containers) {
        const s = state.get(c.name);
        const { status } = await call("ContainerStatus", { container_id: s.id });
        if (pod.stopping || status.state !== "CONTAINER_EXITED") continue;
        for (const loop of s.loops.splice(0)) loop.stop();
        s.ready = false;
        s.last = { code: status.exit_code, reason: status.reason, message: fs.readFileSync(path.join(dir, `${c.name}.termination`), "utf8") };
        if (s.ended) continue;
        s.ended = true;
        note(`${c.name} ended: ${status.exit_code} ${status.reason} ${s.last.message}`);
        if ((spec.restartPolicy ?? "Always") !== "Always") continue;
        await sleep(pause);
        pause = Math.min(pause ? pause * 2 : 10000, 300000);
        const { last } = s;
        Object.assign(await startContainer(c), { last });
      }
    }
  }

  const only = (container) => state.get(container ?? spec.containers[0].name);
  const methods = {
    async start() {
      makeVolumes();
      pod.uid = crypto.randomUUID();
      pod.sandbox = (await call("RunPodSandbox", { config: sandboxConfig(pod.uid) })).pod_sandbox_id;
      pod.ip = (await call("PodSandboxStatus", { pod_sandbox_id: pod.sandbox })).status.network.ip;
      for (const c of spec.initContainers ?? []) {
        const s = await startContainer(c);
        const status = await eventually("the init container ends", async () => {
          const answer = await call("ContainerStatus", { container_id: s.id });
          return answer.status.state === "CONTAINER_EXITED" && answer.status;
        }, 120000);
        if (status.exit_code !== 0) throw new Error(`init container ${c.name}: ${status.exit_code}\n${pod.log(c.name)}`);
      }
      for (const c of spec.containers) await startContainer(c);
      pod.watching = watch().catch((error) => note(`watch: ${error.message}`));
      return pod;
    },
    get restarts() {
      return only().attempt;
    },
    get isReady() {
      return only().ready;
    },
    get isStarted() {
      return only().started;
    },
    get last() {
      return only().last;
    },
    get timing() {
      const { startedAfter, readyAfter, stoppedAfter } = only();
      return { startedAfter, readyAfter, stoppedAfter };
    },
    async exec(argv, { container, timeout = 30 } = {}) {
      const answer = await call("ExecSync", { container_id: only(container).id, cmd: argv, timeout });
      return { code: answer.exit_code, out: String(answer.stdout), err: String(answer.stderr) };
    },
    // kubectl exec -i: containerd's own client, because it has a stdin.
    pipe(argv, input) {
      const child = run("ctr", ["-a", containerd.socket, "-n", "k8s.io", "tasks", "exec", "--exec-id", crypto.randomUUID(), only().id, ...argv], { stdio: ["pipe", "pipe", "pipe"] });
      child.stdin.end(input);
      return child.ended;
    },
    log(container = spec.containers[0].name, attempt = only(container).attempt) {
      const text = fs.readFileSync(path.join(dir, "log", `${container}_${attempt}.log`), "utf8");
      return text.replace(/^\S+ (stdout|stderr) [FP] /gm, "");
    },
    // What the runtime stored, line by line, as a collector finds it.
    storedLog(container = spec.containers[0].name, attempt = only(container).attempt) {
      const text = fs.readFileSync(path.join(dir, "log", `${container}_${attempt}.log`), "latin1");
      return text.split("\n").slice(0, -1).map((line) => Buffer.from(line, "latin1"));
    },
    // PID 1 of the container, as this machine numbers it.
    async hostPid() {
      const { info } = await call("ContainerStatus", { container_id: only().id, verbose: true });
      return JSON.parse(info.find((i) => i.key === "info").value).pid;
    },
    update(volume, files) {
      project(volumes[volume], files, { group, mode: spec.volumes.find((v) => v.name === volume).secret?.defaultMode });
    },
    containerStatus: () => call("ContainerStatus", { container_id: only().id }),
    ready: (ms = 120000) => eventually("the pod is ready", () => {
      if (!only().ready) throw new Error(pod.events.slice(-3).map((e) => e.text).join("; "));
      return true;
    }, ms),
    // As the API server's deletion: hooks, TERM, grace, KILL, then the sandbox and its volumes.
    async stop() {
      pod.stopping = true;
      await pod.watching;
      for (const c of spec.containers) await stopContainer(c, state.get(c.name));
      const { status } = await pod.containerStatus();
      await pod.remove();
      return { code: status.exit_code, reason: status.reason, ms: only().stoppedAfter };
    },
    async remove() {
      if (pod.removed) return;
      pod.stopping = pod.removed = true;
      for (const s of state.values()) for (const loop of s.loops.splice(0)) loop.stop();
      await call("StopPodSandbox", { pod_sandbox_id: pod.sandbox });
      await call("RemovePodSandbox", { pod_sandbox_id: pod.sandbox });
      for (const at of Object.values(volumes))
        if (at.startsWith(dir) && isMount(at)) sh("umount", [at]);
    },
  };
  return Object.defineProperties(pod, Object.getOwnPropertyDescriptors(methods));
}

const isMount = (at) => fs.readFileSync("/proc/self/mountinfo", "utf8").includes(` ${at} `);

// The kubelet limits processes on the pod's group, which CRI has no word for.
function limitPids(uid) {
  const file = `/sys/fs/cgroup/pids/kubepods/pod${uid}/pids.max`;
  if (fs.existsSync(file)) fs.writeFileSync(file, String(PODS_MAX));
}

function securityContext(s) {
  const id = (n) => (n === undefined ? null : { value: n });
  return {
    namespace_options: { pid: "CONTAINER", network: "POD" },
    run_as_user: id(s.runAsUser),
    run_as_group: id(s.runAsGroup),
    supplemental_groups: s.fsGroup === undefined ? [] : [s.fsGroup],
    readonly_rootfs: s.readOnlyRootFilesystem ?? false,
    no_new_privs: s.allowPrivilegeEscalation === false,
    capabilities: { drop_capabilities: s.capabilities?.drop ?? [], add_capabilities: s.capabilities?.add ?? [] },
    seccomp: { profile_type: s.seccompProfile?.type === "RuntimeDefault" ? "RuntimeDefault" : "Unconfined" },
    masked_paths: ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/sched_debug", "/proc/scsi", "/sys/firmware"],
    readonly_paths: ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
  };
}
