// k8s/: what each overlay builds is kept, so that a review sees what a change does to the cluster;
// every object fits its schema; alerts fire when they should. UPDATE_GOLDEN=1 writes the kept files.
import test, { describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import { MONITORING, listed, namesIn, seriesOf } from "./lib/metrics.mjs";
import { kubectl, promtool } from "./lib/tools.mjs";
import { BIN, TOP, run, sh, tempDir } from "./lib/util.mjs";

const CONTAINER = path.join(TOP, "tests/container");
const GOLDEN = path.join(CONTAINER, "golden");
const OVERLAYS = ["k8s-lab", "serenity", "serenity/app", "hub", "backup", "restore"];
const build = (name) => sh(kubectl, ["kustomize", path.join(TOP, "k8s/overlays", name)]);
const golden = (name) => path.join(GOLDEN, `${name.replace("/", "-")}.yaml`);

const skip = kubectl ? false : "no kubectl of 1.27 or newer here: make kubectl";

// The parts of the values of the chart app-template (4.x, with its library common) that are used here,
// as its published schema has them. What Kubernetes itself defines is compared with k8s-lab's below.
// The chart's templates are not run: no test has its chart.
const any = () => null;
const is = (type) => (v) => (typeof v === type ? null : `not a ${type}`);
const must = (rule) => Object.assign((v, at) => misfits(v, rule, at), { must: true });
const each = (rule) => ({ "*": rule });
const mounts = { globalMounts: each({ path: must(is("string")), subPath: is("string"), readOnly: is("boolean") }), type: must(is("string")) };
const KINDS = {
  persistentVolumeClaim: { ...mounts, accessMode: must(is("string")), size: must(is("string")), storageClass: is("string"), retain: is("boolean") },
  emptyDir: { ...mounts, medium: is("string"), sizeLimit: is("string") },
  configMap: { ...mounts, name: must(is("string")), defaultMode: is("number") },
  secret: { ...mounts, name: must(is("string")), defaultMode: is("number") },
};
const probe = { enabled: must(is("boolean")), custom: must(is("boolean")), spec: must(any) };
const container = {
  image: must({ repository: must(is("string")), tag: must(is("string")) }),
  env: each((v) => (typeof v === "string" || Object.keys(v).join() === "valueFrom" ? null : "neither a string nor valueFrom")),
  probes: { liveness: probe, readiness: probe, startup: probe },
  securityContext: any,
  resources: any,
};
const POD = ["automountServiceAccountToken", "enableServiceLinks", "terminationGracePeriodSeconds", "securityContext"];
const CHART = {
  controllers: each({
    type: (v) => (["deployment", "statefulset", "daemonset", "cronjob", "job"].includes(v) ? null : "no such type"),
    pod: Object.fromEntries(POD.map((key) => [key, any])),
    containers: must(each(container)),
  }),
  service: each({ controller: is("string"), forceRename: is("string"), ports: each({ port: must(is("number")), primary: is("boolean") }) }),
  persistence: each((v, at) => (KINDS[v.type] ? misfits(v, KINDS[v.type], at) : "no such type")),
};

// What in `value` the rule does not allow, each as "path: why".
function misfits(value, rule, at = "") {
  const named = (why) => (typeof why === "string" ? [`${at}: ${why}`] : (why ?? []));
  if (typeof rule === "function") return named(rule(value, at));
  const below = (key) => (at ? `${at}.${key}` : key);
  const missing = Object.keys(rule).filter((key) => rule[key].must && !(key in value));
  return Object.entries(value)
    .flatMap(([key, v]) => ((rule[key] ?? rule["*"]) ? misfits(v, rule[key] ?? rule["*"], below(key)) : [`${below(key)}: not known`]))
    .concat(missing.map((key) => `${below(key)}: missing`));
}

describe("what the overlays build", { skip }, () => {
  for (const name of OVERLAYS)
    test(name, () => {
      const now = build(name);
      if (process.env.UPDATE_GOLDEN) fs.writeFileSync(golden(name), now);
      assert.equal(now, fs.readFileSync(golden(name), "utf8"), "if it is meant: UPDATE_GOLDEN=1 node --test tests/e2e/manifests.test.mjs");
    });
});

test("the component session-state puts repository and token into the pod", { skip }, (t) => {
  const dir = tempDir("component");
  t.after(() => fs.rmSync(dir, { recursive: true }));
  const k8s = path.relative(dir, path.join(TOP, "k8s"));
  fs.writeFileSync(path.join(dir, "kustomization.yaml"), `resources: [${k8s}/base]\ncomponents: [${k8s}/components/session-state]\n`);
  const built = sh(kubectl, ["kustomize", dir]);
  for (const text of ["name: CODEV_GATEWAY_STATE_REPO", "value: /run/secrets/codev-state/token", "mountPath: /run/secrets/codev-state", "secretName: codev-state"])
    assert.ok(built.includes(text), text);
});

// These read what is kept, so they run without kubectl.
describe("the manifests", () => {
  const require = createRequire(path.join(CONTAINER, "package.json"));
  const { parse, parseAllDocuments } = require("yaml");
  const objects = (name) => parseAllDocuments(fs.readFileSync(golden(name), "utf8")).map((d) => d.toJS());
  const extra = [path.join(TOP, "k8s/overlays/k8s-lab/argocd.yaml")];
  const components = ["route-internal/httproute.yaml", "route-external-sso/httproute.yaml", "route-external-sso/proxy.yaml", "route-external-sso/externalsecret.yaml", "slack-external-secret/externalsecret.yaml", "monitoring/servicemonitor.yaml", "monitoring-hub/servicemonitor.yaml", "monitoring/prometheusrule.yaml"].map((file) => path.join(TOP, "k8s/components", file));

  test("each object fits its schema, with no field that it does not know", async () => {
    const { code, out } = await run(process.execPath, [path.join(CONTAINER, "validate-manifests.mjs"), ...OVERLAYS.map(golden), ...extra, ...components]).ended;
    assert.equal(code, 0, out);
    assert.match(out, /^\d\d documents, 0 bad$/m);
  });

  test("a field that nobody knows would be found", async (t) => {
    const dir = tempDir("manifest");
    t.after(() => fs.rmSync(dir, { recursive: true }));
    const file = path.join(dir, "wrong.yaml");
    fs.writeFileSync(file, "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: x}\nautomountServiceAccountTokens: false\n");
    const { code, out } = await run(process.execPath, [path.join(CONTAINER, "validate-manifests.mjs"), file]).ended;
    assert.equal(code, 1);
    assert.match(out, /automountServiceAccountTokens/);
  });

  test("every pod of ours is confined, holds no token of the cluster, and has probes or an end", () => {
    for (const name of ["k8s-lab", "hub", "backup", "restore"])
      for (const object of objects(name).filter((o) => ["StatefulSet", "Deployment", "CronJob", "Job"].includes(o.kind))) {
        const { spec } = object.kind === "CronJob" ? object.spec.jobTemplate.spec.template : object.spec.template;
        const what = `${name}: ${object.metadata.name}`;
        assert.equal(spec.automountServiceAccountToken, false, what);
        assert.equal(spec.enableServiceLinks, false, what);
        assert.equal(spec.securityContext.runAsNonRoot, true, what);
        assert.equal(spec.securityContext.seccompProfile.type, "RuntimeDefault", what);
        for (const c of spec.containers) {
          assert.equal(c.securityContext.readOnlyRootFilesystem, true, what);
          assert.equal(c.securityContext.allowPrivilegeEscalation, false, what);
          assert.deepEqual(c.securityContext.capabilities.drop, ["ALL"], what);
          assert.ok(c.resources.limits.memory, what);
          if (!/Job$/.test(object.kind)) assert.ok(c.livenessProbe && c.readinessProbe && c.startupProbe, what);
        }
      }
  });

  test("each pod of ours has one policy of its own, and nobody else's pod has one", () => {
    const sso = parseAllDocuments(fs.readFileSync(path.join(TOP, "k8s/components/route-external-sso/proxy.yaml"), "utf8")).map((d) => d.toJS());
    for (const [what, all] of [["k8s-lab", objects("k8s-lab")], ["serenity/app", objects("serenity-app")], ["hub", objects("hub")], ["route-external-sso", sso]]) {
      const policies = all.filter((o) => o.kind === "NetworkPolicy");
      assert.equal(policies.length, 1, what);
      for (const { spec } of all.filter((o) => ["NetworkPolicy", "PodDisruptionBudget"].includes(o.kind)))
        assert.ok(Object.keys((spec.podSelector ?? spec.selector).matchLabels).length > 0, `${what}: it selects every pod of the namespace`);
      const pod = all.find((o) => ["StatefulSet", "Deployment"].includes(o.kind))?.spec.template.metadata.labels ?? { "app.kubernetes.io/name": "codev" };
      for (const [key, value] of Object.entries(policies[0].spec.podSelector.matchLabels)) assert.equal(pod[key], value, what);
    }
  });

  test("the two overlays with a pod have the same pod", () => {
    const a = objects("k8s-lab").find((o) => o.kind === "StatefulSet").spec.template.spec;
    const b = objects("serenity/app").find((o) => o.kind === "HelmRelease").spec.values;
    const { pod, containers } = b.controllers.codev;
    const c = containers.app;
    for (const key of Object.keys(pod)) assert.deepEqual(pod[key], a[key], key);
    assert.deepEqual(c.securityContext, a.containers[0].securityContext);
    assert.deepEqual(c.resources, a.containers[0].resources);
    for (const which of ["startup", "readiness", "liveness"]) {
      const probe = structuredClone(a.containers[0][`${which}Probe`]);
      probe.httpGet.port = 8081;
      assert.deepEqual(c.probes[which].spec, probe);
    }
    const mounted = Object.values(b.persistence).flatMap((p) => p.globalMounts.map((m) => m.path));
    assert.deepEqual(mounted.sort(), a.containers[0].volumeMounts.map((m) => m.mountPath).sort());
    const names = new Set(a.containers[0].env.map((e) => e.name));
    assert.deepEqual(new Set(Object.keys(c.env)), names);
  });

  test("what an installation must change is listed", () => {
    const readme = fs.readFileSync(path.join(TOP, "k8s/README.md"), "utf8");
    const rows = readme.split("\n").filter((line) => line.startsWith("| `"));
    const listed = (file) => rows.filter((row) => row.includes(`\`${file}\``)).join("\n");
    const placeholder = /[\w.-]*\bexample\b(?!\/)[\w.-]*|\b[CU]0123456789\b|(?<=storageClass(?:Name)?, value: )\w+|(?<=ClusterSecretStore, name: )\w+|(?<=parentRefs:\n\s+- {name: )\w+/g;
    let found = 0;
    for (const entry of fs.readdirSync(path.join(TOP, "k8s"), { recursive: true }).filter((f) => f.endsWith(".yaml")))
      for (const [value] of fs.readFileSync(path.join(TOP, "k8s", entry), "utf8").matchAll(placeholder)) {
        assert.ok(listed(entry).includes(value), `k8s/README.md: ${value} of ${entry}`);
        found++;
      }
    assert.ok(found > 20, `${found} found`);
  });

  test("the chart's values: of the keys that app-template knows, nothing misspelt, nothing missing", () => {
    const { values } = objects("serenity-app").find((o) => o.kind === "HelmRelease").spec;
    assert.deepEqual(misfits(values, CHART), []);
    const wrong = structuredClone(values);
    wrong.persistence.state.globalMount = wrong.persistence.state.globalMounts;
    delete wrong.persistence.src.size;
    wrong.controllers.codev.containers.app.probes.startup.enabled = "yes";
    assert.deepEqual(misfits(wrong, CHART), [
      "controllers.codev.containers.app.probes.startup.enabled: not a boolean",
      "persistence.src.size: missing",
      "persistence.state.globalMount: not known",
    ]);
  });

  test("alerts: valid, and each fires when it should", { skip: promtool ? false : "no promtool here: make promtool" }, (t) => {
    const dir = tempDir("rules");
    t.after(() => fs.rmSync(dir, { recursive: true }));
    const rule = parse(fs.readFileSync(path.join(TOP, "k8s/components/monitoring/prometheusrule.yaml"), "utf8"));
    fs.writeFileSync(path.join(dir, "rules.yaml"), JSON.stringify(rule.spec));
    fs.copyFileSync(path.join(CONTAINER, "alerts.test.yaml"), path.join(dir, "alerts.test.yaml"));
    assert.match(sh(promtool, ["check", "rules", path.join(dir, "rules.yaml")]), /SUCCESS/);
    sh(promtool, ["test", "rules", path.join(dir, "alerts.test.yaml")]);
    const tested = fs.readFileSync(path.join(CONTAINER, "alerts.test.yaml"), "utf8");
    for (const { alert } of rule.spec.groups.flatMap((g) => g.rules)) assert.ok(tested.includes(`alertname: ${alert}\n        exp_alerts`), `${alert} is tested`);
  });

  test("the dashboard and the alerts ask for metrics that there are, with labels that they have", () => {
    const there = listed();
    const names = new Set([...there].flatMap(([name, metric]) => seriesOf(name, metric)));
    const own = ["namespace", "pod", "le"]; // Prometheus's, and a histogram's
    for (const file of ["dashboard.json", "prometheusrule.yaml"]) {
      const text = fs.readFileSync(path.join(MONITORING, file), "utf8").replaceAll('\\"', '"');
      const asked = namesIn(text);
      assert.ok(asked.size > 3);
      for (const name of asked) assert.ok(names.has(name), `${file}: ${name}`);
      for (const [, name, inner] of text.matchAll(/\b(codev_[a-z_]+)\{([^}]*)\}/g)) {
        const known = [...own, ...(there.get(name) ?? there.get(name.replace(/_(bucket|sum|count)$/, ""))).labels];
        for (const [, label] of inner.matchAll(/(\w+)(?:=~|!~|!=|=)/g)) assert.ok(known.includes(label), `${file}: ${name} has no ${label}`);
      }
    }
  });

  test("each metric is in docs/metrics.md, as the programs list it", () => {
    const text = fs.readFileSync(path.join(TOP, "docs/metrics.md"), "utf8");
    for (const program of ["codev-probes", "codev-gateway"]) {
      const list = sh(path.join(BIN, program), ["--metrics"]);
      assert.ok(text.includes(`|---|---|---|---|\n${list}\n`), `${program}: scripts/update-docs.sh`);
    }
  });

  test("Prometheus is let in where it scrapes, to that and nothing else", () => {
    const opened = (policy, label) =>
      policy.spec.ingress.filter((rule) => rule.from.some((f) => f.namespaceSelector?.matchLabels?.[label] === "true")).flatMap((rule) => rule.ports.map((p) => p.port));
    const scrape = parse(fs.readFileSync(path.join(MONITORING, "scrape.yaml"), "utf8")).scrape_configs[0];
    const keep = new RegExp(`^(?:${scrape.relabel_configs.find((r) => r.action === "keep").regex})$`);
    for (const [overlay, workload, monitor, port] of [
      ["k8s-lab", "StatefulSet", "monitoring", 8081],
      ["hub", "Deployment", "monitoring-hub", 8000],
    ]) {
      const all = objects(overlay);
      const [endpoint] = parse(fs.readFileSync(path.join(TOP, "k8s/components", monitor, "servicemonitor.yaml"), "utf8")).spec.endpoints;
      const { selector } = parse(fs.readFileSync(path.join(TOP, "k8s/components", monitor, "servicemonitor.yaml"), "utf8")).spec;
      const app = selector.matchLabels["app.kubernetes.io/name"];
      const services = all.filter((o) => o.kind === "Service" && o.metadata.labels?.["app.kubernetes.io/name"] === app && o.spec.ports.some((p) => p.name === endpoint.port));
      assert.equal(services.length, 1, `${overlay}: one Service with the port ${endpoint.port}, so that nothing is scraped twice`);
      assert.equal(endpoint.path, "/metrics");
      const { template } = all.find((o) => o.kind === workload).spec;
      const ports = template.spec.containers[0].ports;
      assert.equal(ports.find((p) => p.name === endpoint.port).containerPort, port);
      assert.deepEqual(ports.filter((p) => keep.test(`${template.metadata.labels["app.kubernetes.io/name"]};${p.name}`)).map((p) => p.containerPort), [port]);
      const policies = all.filter((o) => o.kind === "NetworkPolicy");
      assert.deepEqual(policies.flatMap((p) => opened(p, "codev-metrics")), [port], overlay);
      assert.ok(policies.flatMap((p) => opened(p, "codev-access")).every((p) => [8000, 8080].includes(p)), overlay);
    }
  });
});
