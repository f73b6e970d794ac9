// Programs that only tests need: of this machine, or what `make deps` put below build/.
import fs from "node:fs";
import path from "node:path";
import { TOP, sh } from "./util.mjs";

const FETCHED = { kubectl: "build/kubectl", promtool: "build/promtool/usr/bin", prometheus: "build/promtool/usr/bin" };

function candidates(name) {
  return [...(process.env.PATH ?? "").split(":"), path.join(TOP, FETCHED[name])]
    .map((dir) => path.join(dir, name))
    .filter((file) => fs.existsSync(file));
}

// Before 1.27 its kustomize words things differently, or does not know components.
function isNewEnough(file) {
  const { clientVersion: v } = JSON.parse(sh(file, ["version", "--client", "-o", "json"]));
  return parseInt(v.major, 10) > 1 || parseInt(v.minor, 10) >= 27;
}

// Their paths; undefined when there is none.
export const kubectl = candidates("kubectl").find(isNewEnough);
export const promtool = candidates("promtool")[0];
export const prometheus = candidates("prometheus")[0];
