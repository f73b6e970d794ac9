// A disk image with ext4 behind a volatile write cache (tests/power/volatile-disk.c), mounted at a
// folder, whose power can be cut. Needs root and FUSE; `missing()` says what is not there.
import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { BIN, IS_ROOT, eventually, firstLine, run, sh } from "./util.mjs";

const PROGRAM = path.join(BIN, "../test/volatile-disk");

export function missing() {
  if (!IS_ROOT) return "needs root for mounts";
  if (!fs.existsSync("/dev/fuse")) return "no /dev/fuse";
  return fs.existsSync(PROGRAM) ? "" : "volatile-disk was not built (Debian package libfuse3-dev)";
}

const mounted = (at) => fs.readFileSync("/proc/mounts", "utf8").includes(` ${at} `);

export function makeDisk(dir, mb) {
  const image = path.join(dir, "disk.img");
  const fuse = path.join(dir, "fuse");
  const mounts = () => [disk.at, fuse].filter(mounted);
  const disk = { at: path.join(dir, "volume") };
  for (const folder of [fuse, disk.at]) fs.mkdirSync(folder);
  fs.closeSync(fs.openSync(image, "w"));
  fs.truncateSync(image, mb << 20);
  sh("mkfs.ext4", ["-q", "-F", image]);

  disk.on = async (seed) => {
    disk.program = run(PROGRAM, [image, fuse, String(seed)]);
    await eventually("the disk", () => mounted(fuse) && fs.existsSync(path.join(fuse, "disk")), 10000, 20);
    sh("mount", ["-o", "loop", path.join(fuse, "disk"), disk.at]);
  };
  // From here on nothing is written any more. How many sectors were in the cache, and of them how
  // many got through.
  disk.cut = async () => {
    disk.program.kill("SIGUSR1");
    const [, cached, through] = /^cut (\d+) (\d+)$/.exec(await firstLine(disk.program, (l) => l.startsWith("cut")));
    return { cached: Number(cached), through: Number(through) };
  };
  // After the cut, when the programs are gone: what is on the disk, its journal replayed, is sound. A
  // namespace of somebody else may hold the old mounts for a while; nothing is written by them.
  disk.off = async () => {
    for (const at of mounts()) sh("umount", ["-l", at]);
    disk.program.kill("SIGKILL");
    await disk.program.ended;
    try {
      execFileSync("e2fsck", ["-p", image], { stdio: "pipe" });
    } catch (e) {
      if (e.status !== 1) throw new Error(`e2fsck -p: ${e.status} ${e.stdout}${e.stderr}`); // 1: it mended, as the journal has it
    }
    sh("e2fsck", ["-fn", image]);
  };
  disk.end = async () => {
    for (const at of mounts()) sh("umount", ["-l", at]);
    disk.program?.kill("SIGKILL");
    await disk.program?.ended;
  };
  return disk;
}

// What SQLite finds wrong with this database; looked at in a copy, log and all.
export function databaseProblems(file, scratch) {
  const copy = path.join(scratch, "copy.db");
  for (const end of ["", "-wal"]) {
    fs.rmSync(copy + end, { force: true });
    if (fs.existsSync(file + end)) fs.copyFileSync(file + end, copy + end);
  }
  const script = "import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute('PRAGMA integrity_check').fetchall()[0][0])";
  const said = sh("python3", ["-c", script, copy]).trim();
  return said === "ok" ? "" : said;
}
