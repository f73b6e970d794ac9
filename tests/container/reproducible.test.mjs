// The same input gives the same image: what was built before, perhaps out of the cache, beside the
// same built anew from the first line on. And the unit tests, in the build's own surroundings.
import test, { describe } from "node:test";
import assert from "node:assert/strict";
import crypto from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { TOP, run, sh } from "../e2e/lib/util.mjs";
import { IMAGE, cannot } from "./lib/lab.mjs";

const skip = cannot();
const AGAIN = "localhost/codev-init:again";
const podman = (...args) => sh("podman", args, { maxBuffer: 1 << 26 });
const layers = (image) => JSON.parse(podman("image", "inspect", image))[0].RootFS.Layers;
const packages = (image) => podman("run", "--rm", "--no-healthcheck", "--network", "none", "--entrypoint", "dpkg-query", image, "-W");
const build = (env, ...args) => run(path.join(TOP, "tests/container/build.sh"), args, { env: { ...process.env, ...env } }).ended;

// Every file below `root`, by its path: what it is, whose, since when, and what it holds.
function listed(root, at = "", found = new Map()) {
  for (const entry of fs.readdirSync(path.join(root, at), { withFileTypes: true })) {
    const file = path.join(at, entry.name);
    const full = path.join(root, file);
    const { mode, uid, gid, mtimeMs } = fs.lstatSync(full);
    let holds = "";
    if (entry.isSymbolicLink()) holds = fs.readlinkSync(full);
    else if (entry.isFile()) holds = crypto.createHash("sha256").update(fs.readFileSync(full)).digest("hex");
    found.set(file, [mode.toString(8), uid, gid, mtimeMs, holds].join(" "));
    if (entry.isDirectory()) listed(root, file, found);
  }
  return found;
}

function mounted(image) {
  const root = podman("image", "mount", image).trim();
  try {
    return listed(root);
  } finally {
    podman("image", "unmount", image);
  }
}

function differences(a, b) {
  const paths = [...new Set([...a.keys(), ...b.keys()])].sort();
  return paths.filter((file) => a.get(file) !== b.get(file)).map((file) => `${file}: ${a.get(file) ?? "none"} | ${b.get(file) ?? "none"}`);
}

describe("the image, built twice", { skip }, () => {
  test("every layer is the same, byte for byte", async (t) => {
    t.after(() => run("podman", ["rmi", AGAIN]).ended);
    const from = Date.now();
    const { code, err } = await build({ NO_CACHE: "1" }, "full", AGAIN);
    assert.equal(code, 0, err.slice(-2000));
    t.diagnostic(`figure: image built from the first line on in ${Math.round((Date.now() - from) / 1000)} s`);
    const [before, now] = [layers(IMAGE), layers(AGAIN)];
    const same = now.filter((id, i) => id === before[i]).length;
    t.diagnostic(`figure: layers with the same digest: ${same} of ${now.length}`);
    if (packages(IMAGE) !== packages(AGAIN)) return t.skip("Debian's packages changed since the image was built: not the same input");
    if (same < now.length) assert.fail(differences(mounted(IMAGE), mounted(AGAIN)).slice(0, 60).join("\n") || `${before}\n${now}`);
    assert.equal(now.length, before.length);
  });

  test("nothing in it tells when it was built", () => {
    const shadow = podman("run", "--rm", "--no-healthcheck", "--network", "none", "--user", "0", "--entrypoint", "grep", IMAGE, "^coder:", "/etc/shadow");
    assert.equal(shadow.split(":")[2], "", "the day on which the account was made");
  });

  test("the unit tests pass in the build's own surroundings", async (t) => {
    const { code, out, err } = await build({ SHOW: "1" }, "test", "localhost/codev-init:unit");
    await run("podman", ["rmi", "localhost/codev-init:unit"]).ended;
    assert.equal(code, 0, (out + err).slice(-6000));
    const [line] = /^unit: \d+ passed, 0 failed, \d+ skipped$/m.exec(out + err) ?? [];
    t.diagnostic(`figure: in the build: ${line ?? "unit tests out of the cache"}`);
  });
});
