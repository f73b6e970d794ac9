// A pod's volumes as the kubelet lays them out: a ConfigMap or Secret is a folder of links through
// `..data`, which one rename swaps; an emptyDir in memory is a tmpfs; fsGroup owns what it may.
import fs from "node:fs";
import path from "node:path";
import { sh } from "../../e2e/lib/util.mjs";

export function bytes(quantity) {
  const m = /^(\d+)(Ki|Mi|Gi|k|M|G)?$/.exec(String(quantity ?? ""));
  const unit = { Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, k: 1e3, M: 1e6, G: 1e9 };
  return m ? Number(m[1]) * (unit[m[2]] ?? 1) : 0;
}

let version = 0;

// Writes `files` (name → content) as the kubelet's atomic writer does; what was there goes at once.
export function project(dir, files, { mode = 0o644, group } = {}) {
  const name = `..${new Date().toISOString().replace(/[-:.TZ]/g, "_")}${version++}`;
  const to = path.join(dir, name);
  fs.mkdirSync(to, { recursive: true, mode: 0o755 });
  for (const [key, value] of Object.entries(files)) {
    const file = path.join(to, key);
    fs.writeFileSync(file, value);
    fs.chmodSync(file, group === undefined ? mode : mode | 0o440);
    if (group !== undefined) fs.chownSync(file, 0, group);
  }
  const data = path.join(dir, "..data");
  const old = fs.existsSync(data) ? fs.readlinkSync(data) : null;
  fs.symlinkSync(name, `${data}_tmp`);
  fs.renameSync(`${data}_tmp`, data);
  for (const key of Object.keys(files))
    if (!fs.existsSync(path.join(dir, key))) fs.symlinkSync(`..data/${key}`, path.join(dir, key));
  for (const key of fs.readdirSync(dir))
    if (!key.startsWith("..") && !(key in files)) fs.rmSync(path.join(dir, key));
  if (old) fs.rmSync(path.join(dir, old), { recursive: true });
}

export function contents(object) {
  const decoded = Object.entries(object?.data ?? {}).map(([k, v]) => [
    k,
    object.kind === "Secret" ? Buffer.from(v, "base64") : v,
  ]);
  return { ...Object.fromEntries(decoded), ...object?.stringData };
}

function owned(dir, group, mode) {
  fs.chownSync(dir, 0, group ?? 0);
  fs.chmodSync(dir, mode);
}

// One volume's folder on this machine. `find` gives an object by kind and name, `claims` a folder
// for each claim's name.
export function makeVolume(volume, { dir, group, find, claims }) {
  const at = path.join(dir, volume.name);
  fs.mkdirSync(at, { recursive: true });
  const keyed = volume.configMap ?? volume.secret;
  if (volume.persistentVolumeClaim) {
    const claim = claims[volume.persistentVolumeClaim.claimName];
    if (!claim) throw new Error(`no folder for the claim ${volume.persistentVolumeClaim.claimName}`);
    const stat = fs.statSync(claim);
    // fsGroupChangePolicy: OnRootMismatch
    if (group !== undefined && (stat.gid !== group || (stat.mode & 0o2070) !== 0o2070)) {
      sh("chgrp", ["-R", String(group), claim]);
      sh("chmod", ["-R", "g+rwX", claim]);
      owned(claim, group, 0o2775);
    }
    return claim;
  }
  if (volume.emptyDir) {
    const size = volume.emptyDir.sizeLimit ? `,size=${bytes(volume.emptyDir.sizeLimit)}` : "";
    if (volume.emptyDir.medium === "Memory") sh("mount", ["-t", "tmpfs", "-o", `mode=1777${size}`, "tmpfs", at]);
    owned(at, group, group === undefined ? 0o777 : 0o2777);
  } else if (keyed) {
    const [kind, name] = volume.configMap ? ["ConfigMap", keyed.name] : ["Secret", keyed.secretName];
    const object = find(kind, name);
    if (!object && !keyed.optional) throw new Error(`no ${kind} ${name}, and it is not optional`);
    project(at, contents(object), { mode: keyed.defaultMode ?? 0o644, group });
  } else throw new Error(`a volume that is not known here: ${JSON.stringify(volume)}`);
  return at;
}

export function subPath(folder, sub) {
  const at = path.join(folder, sub);
  const { mode, gid } = fs.statSync(folder);
  for (let p = folder, rest = sub.split("/"); rest.length > 0; ) {
    p = path.join(p, rest.shift());
    if (!fs.existsSync(p)) {
      fs.mkdirSync(p);
      fs.chownSync(p, 0, gid);
      fs.chmodSync(p, mode & 0o7777);
    }
  }
  return at;
}
