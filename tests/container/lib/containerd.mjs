// A containerd of our own and its CRI socket, as a kubelet sees it. Needs what setup.sh installs.
import { createRequire } from "node:module";
import fs from "node:fs";
import path from "node:path";
import { TOP, run, sh, eventually } from "../../e2e/lib/util.mjs";

const require = createRequire(import.meta.url);
const HERE = path.join(TOP, "tests/container");

// `images` are names in podman's store; they are known here by the same names.
export async function startContainerd(dir, images) {
  const daemon = run(path.join(HERE, "containerd-up.sh"), [dir, ...images]);
  const { code, err } = await daemon.ended;
  if (code !== 0) throw new Error(`containerd does not start: ${err.slice(-800)}`);
  sh("python3", [path.join(HERE, "cri-descriptor.py"), path.join(dir, "cri.fds")]);
  const grpc = require("@grpc/grpc-js");
  const loader = require("@grpc/proto-loader");
  const set = fs.readFileSync(path.join(dir, "cri.fds"));
  const definition = loader.loadFileDescriptorSetFromBuffer(set, {
    keepCase: true,
    longs: Number,
    enums: String,
    defaults: true,
  });
  const { RuntimeService } = grpc.loadPackageDefinition(definition).runtime.v1;
  const service = new RuntimeService(`unix:${path.join(dir, "c.sock")}`, grpc.credentials.createInsecure());
  const pid = Number(fs.readFileSync(path.join(dir, "pid"), "utf8"));
  const call = (method, request = {}) =>
    new Promise((resolve, reject) =>
      service[method](request, (error, answer) =>
        error ? reject(new Error(`${method}: ${error.details}`)) : resolve(answer),
      ),
    );
  return {
    call,
    socket: path.join(dir, "c.sock"),
    async stop() {
      for (const { id } of (await call("ListPodSandbox")).items) {
        await call("StopPodSandbox", { pod_sandbox_id: id }).catch(() => {});
        await call("RemovePodSandbox", { pod_sandbox_id: id }).catch(() => {});
      }
      service.close();
      process.kill(pid, "SIGTERM");
      await eventually("containerd ends", () => !fs.existsSync(`/proc/${pid}`), 20000);
    },
  };
}
