// Prometheus's text, what the programs list of it, and a Prometheus of one's own.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { prometheus as program } from "./tools.mjs";
import { BIN, TOP, eventually, freePorts, run, sh, tempDir } from "./util.mjs";

export const MONITORING = path.join(TOP, "k8s/components/monitoring");
export const { parse: parseYaml } = createRequire(path.join(TOP, "tests/container/package.json"))("yaml");

// What the programs say they have: name → { type, labels }.
export function listed() {
  const rows = ["codev-probes", "codev-gateway"].flatMap((name) => sh(path.join(BIN, name), ["--metrics"]).trim().split("\n"));
  return new Map(
    rows.map((row) => {
      const [, name, type, labels] = /^\| `(\w+)` \| (\w+) \| (.*?) \| .+ \|$/.exec(row);
      return [name, { type, labels: labels.split(", ").map((l) => l.replaceAll("`", "")).filter(Boolean) }];
    }),
  );
}

// Series that a metric has: a histogram has three.
export const seriesOf = (name, { type }) => (type === "histogram" ? ["_bucket", "_sum", "_count"].map((s) => name + s) : [name]);

// Names of metrics in PromQL, or wherever they are told.
export const namesIn = (text) => new Set(text.match(/\bcodev_[a-z_]+/g) ?? []);

// The samples of a page: [{ name, labels, value }].
export function samples(page) {
  return page
    .split("\n")
    .filter((line) => line && !line.startsWith("#"))
    .map((line) => {
      const [, name, inner, value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
      const labels = Object.fromEntries([...(inner ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, k, v]) => [k, v]));
      return { name, labels, value: Number(value) };
    });
}

// The sum of what fits, or undefined when nothing does.
export function valueOf(page, name, labels = {}) {
  const found = samples(page).filter((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v));
  return found.length ? found.reduce((sum, s) => sum + s.value, 0) : undefined;
}

// A Prometheus that scrapes `targets` ([{ address, name, port, pod }]) each second, by the
// configuration that k8s/ ships: all of it but how targets are found, which needs a cluster.
export async function startPrometheus(targets) {
  const dir = tempDir("prometheus");
  const [port] = await freePorts(1);
  const config = parseYaml(fs.readFileSync(path.join(MONITORING, "scrape.yaml"), "utf8"));
  for (const job of config.scrape_configs) {
    if (!job.kubernetes_sd_configs.every(({ role }) => role === "pod")) throw new Error("targets are pods");
    delete job.kubernetes_sd_configs;
    job.scrape_interval = "1s";
    job.static_configs = targets.map(({ address, name, port: portName, pod }) => ({
      targets: [address],
      labels: {
        __meta_kubernetes_namespace: "test",
        __meta_kubernetes_pod_name: pod,
        __meta_kubernetes_pod_container_port_name: portName,
        __meta_kubernetes_pod_label_app_kubernetes_io_name: name,
      },
    }));
  }
  const rules = parseYaml(fs.readFileSync(path.join(MONITORING, "prometheusrule.yaml"), "utf8")).spec;
  fs.writeFileSync(path.join(dir, "rules.yaml"), JSON.stringify(rules));
  fs.writeFileSync(path.join(dir, "prometheus.yaml"), JSON.stringify({ ...config, global: { evaluation_interval: "1s" }, rule_files: ["rules.yaml"] }));
  const child = run(program, [
    ...[`--config.file=${dir}/prometheus.yaml`, `--storage.tsdb.path=${dir}/data`, `--web.listen-address=127.0.0.1:${port}`],
    ...["--log.format=json", "--log.level=debug"],
  ]);
  const api = async (route, params = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${route}?${new URLSearchParams(params)}`, { signal: AbortSignal.timeout(10000) });
    const { status, data, error } = await response.json();
    if (status !== "success") throw new Error(`${route} ${JSON.stringify(params)}: ${error}`);
    return data;
  };
  const prometheus = {
    api,
    query: async (query) => (await api("query", { query })).result,
    number: async (query) => Number((await prometheus.query(query))[0]?.value[1]),
    page: async () => (await fetch(`http://127.0.0.1:${port}/metrics`)).text(),
    get log() {
      return (child.err + child.out).split("\n").filter(Boolean);
    },
    async end() {
      child.kill("SIGTERM");
      await child.ended;
      fs.rmSync(dir, { recursive: true, force: true });
    },
  };
  await eventually("Prometheus answers", async () => {
    if (child.exitCode !== null) throw new Error(child.err.slice(-1500));
    return prometheus.api("status/buildinfo");
  }, 30000);
  return prometheus;
}
