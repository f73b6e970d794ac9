// An ssh server on loopback that does one thing: git-upload-pack, for the keys it knows.
import { spawn } from "node:child_process";
import path from "node:path";
import ssh2 from "ssh2";
import { sh } from "./util.mjs";

// A key pair in files; the private one in the form that ssh-keygen(1) writes today, or in PEM.
export function makeKey(dir, name, args = ["-t", "ed25519"]) {
  const file = path.join(dir, name);
  sh("ssh-keygen", ["-q", "-N", "", "-C", name, "-f", file, ...args]);
  return file;
}

// `host`, `allowed`: files of makeKey. `stall`: nothing of a pack is sent. `seen` keeps the users and
// commands.
export async function startSshServer(world, { host, allowed, stall } = {}) {
  const read = (file) => ssh2.utils.parseKey(sh("cat", [file]));
  const known = read(`${allowed}.pub`);
  const seen = { users: [], commands: [], refused: 0 };
  const server = new ssh2.Server({ hostKeys: [sh("cat", [host])] }, (client) => {
    client.on("error", () => {});
    client.on("authentication", (ctx) => {
      const ours = ctx.method === "publickey" && ctx.key.data.equals(known.getPublicSSH());
      if (!ours || (ctx.signature && known.verify(ctx.blob, ctx.signature, ctx.hashAlgo) !== true)) {
        seen.refused++;
        return ctx.reject(["publickey"]);
      }
      seen.users.push(ctx.username);
      return ctx.accept();
    });
    client.on("session", (accept) =>
      accept().on("exec", (acceptExec, reject, info) => {
        seen.commands.push(info.command);
        if (!/^git-upload-pack '\/[\w/.-]+'$/.test(info.command)) return reject();
        const stream = acceptExec();
        if (stall) return undefined;
        const child = spawn("sh", ["-c", info.command], { env: { PATH: process.env.PATH, HOME: world.dir } });
        stream.pipe(child.stdin).on("error", () => {});
        child.stdout.pipe(stream, { end: false });
        child.on("close", (code) => {
          stream.exit(code ?? 1);
          stream.end();
        });
        return undefined;
      }));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { seen, port: server.address().port, url: `ssh://git@127.0.0.1:${server.address().port}${world.origin}`, stop: () => server.close() };
}
