// The image on a Docker Engine, which acts on HEALTHCHECK by itself: a daemon of our own, from
// Debian's package, with no network and no rule in this machine's firewall.
import test, { after, before, describe } from "node:test";
import assert from "node:assert/strict";
import fs from "node:fs";
import path from "node:path";
import { TOP, eventually, run, sh, tempDir } from "../e2e/lib/util.mjs";
import { IMAGE, cannot } from "./lib/lab.mjs";

const ENGINE = path.join(TOP, "build/docker/usr");
const skip = cannot() || (fs.existsSync(path.join(ENGINE, "sbin/dockerd")) ? false : "no Docker Engine: setup.sh gets it");
const CONFINED = ["--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

describe("on a Docker Engine", { skip }, () => {
  let dir, daemon;
  const docker = (...args) => sh(path.join(ENGINE, "bin/docker"), ["-H", `unix://${dir}/d.sock`, ...args]);
  const health = (id) => JSON.parse(docker("inspect", id))[0].State.Health;
  const becomes = async (id, wanted, ms) => {
    const from = Date.now();
    await eventually(`it is ${wanted}`, () => {
      const { Status: status, Log: log } = health(id);
      if (status !== wanted) throw new Error(`${status}: ${log?.at(-1)?.Output ?? ""}`);
      return true;
    }, ms, 500);
    return Math.round((Date.now() - from) / 1000);
  };

  before(async () => {
    dir = tempDir("docker");
    const nofile = sh("sh", ["-c", "ulimit -Hn"]).trim();
    const args = ["--data-root", `${dir}/data`, "--exec-root", `${dir}/exec`, "-H", `unix://${dir}/d.sock`, "-p", `${dir}/pid`];
    args.push("--iptables=false", "--ip6tables=false", "--bridge=none", "--userland-proxy=false", "--default-ulimit", `nofile=${nofile}:${nofile}`);
    daemon = run(path.join(ENGINE, "sbin/dockerd"), args);
    await eventually("the engine answers", () => docker("version"), 60000, 500);
    const archive = path.join(dir, "image.tar");
    sh("podman", ["save", "-q", "--format", "docker-archive", "-o", archive, IMAGE]);
    docker("load", "-q", "-i", archive);
    fs.rmSync(archive);
  });
  after(async () => {
    for (const id of docker("ps", "-aq").split("\n").filter(Boolean)) docker("rm", "-f", id);
    daemon.kill("SIGTERM");
    await daemon.ended;
    fs.rmSync(dir, { recursive: true, force: true });
  });

  test("HEALTHCHECK: healthy, not when PID 1 hangs, healthy again; an orderly stop", async (t) => {
    const id = docker("run", "-d", ...CONFINED, "--tmpfs", "/run/codev:mode=1777", "--tmpfs", "/tmp", IMAGE).trim();
    t.diagnostic(`figure: docker: healthy after ${await becomes(id, "healthy", 60000)} s`);
    const pid = JSON.parse(docker("inspect", id))[0].State.Pid;
    process.kill(pid, "SIGSTOP");
    t.diagnostic(`figure: docker: unhealthy ${await becomes(id, "unhealthy", 120000)} s after PID 1 hung`);
    process.kill(pid, "SIGCONT");
    t.diagnostic(`figure: docker: healthy ${await becomes(id, "healthy", 60000)} s after it went on`);
    docker("stop", "-t", "30", id);
    assert.equal(JSON.parse(docker("inspect", id))[0].State.ExitCode, 0);
  });

  test("as a plain init, with no --init", async () => {
    const { code, out } = await run(path.join(ENGINE, "bin/docker"), ["-H", `unix://${dir}/d.sock`, "run", "--rm", ...CONFINED, IMAGE, "--", "sh", "-c", "echo $PPID; exit 9"]).ended;
    assert.deepEqual([code, out.trim()], [9, "1"]);
  });
});
