// Loaded into OpenCode when codev-prepare has left nothing: no module comes into OpenCode's process
// but what is compiled into it and what lies in its closed configuration folder. codev-prepare
// writes the same with the folder in it (bridge/prepare/guard.c).
import fs from "node:fs";
const own = process.env.XDG_CONFIG_HOME ?? "/nonexistent";
const plain = (s) => s.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const real = fs.existsSync(own) ? fs.realpathSync(own) : own;
const roots = [...new Set([own, real])].map((f) => plain(f + "/"));
const filter = new RegExp("^(?!" + ["/\\$bunfs/", ...roots].join("|") + ")/");
globalThis.Bun.plugin({
  name: "codev-guard",
  setup(build) {
    build.onLoad({ filter }, ({ path }) => {
      console.error("not loaded into OpenCode, because the agent can write it: " + path);
      return { contents: "export default {};", loader: "js" };
    });
  },
});
export default async () => ({});
