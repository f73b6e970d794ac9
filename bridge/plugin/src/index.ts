// @opencode/bridge-plugin: OpenCode calls the one exported function for each directory it loads.
// Whatever fails in here is written to the log file and stays here.
import type { Hooks, Plugin } from "@opencode-ai/plugin";
import { createApi } from "./api.js";
import { Bridge } from "./bridge.js";
import type { Socket } from "./link.js";
import { Log } from "./log.js";
import { errorText } from "./read.js";
import { publicUrl, readSettings } from "./settings.js";

/** All copies of the plugin in this process share one bridge. */
const SHARED = Symbol.for("@opencode/bridge-plugin:1");
type Shared = { bridge: Bridge; log: Log };
const holder = globalThis as unknown as { [SHARED]?: Shared };

function shared(): Shared {
  const existing = holder[SHARED];
  if (existing) return existing;
  const settings = readSettings(process.env);
  const file = new Log(settings.log, settings.prepareId);
  const log = (message: string, trace?: string) =>
    file.write(settings.token ? message.replaceAll(settings.token, "***") : message, "info", trace);
  log(`Gateway WebSocket: ${publicUrl(settings.gatewayWs)}`);
  if (!settings.token) log("no bridge token: the gateway will refuse the link");
  const authorization: Record<string, string> = settings.token ? { Authorization: `Bearer ${settings.token}` } : {};
  const bridge = new Bridge({
    settings,
    log,
    fetch: (input, init) => fetch(input, init),
    // headers are an extension of Bun, in which OpenCode runs
    link: { open: () => openSocket(settings.gatewayWs, authorization) },
  });
  const made = { bridge, log: file };
  holder[SHARED] = made;
  return made;
}

function openSocket(url: string, headers: Record<string, string>): Socket {
  type BunWebSocket = new (url: string, options: { headers: Record<string, string> }) => Socket;
  return new (WebSocket as unknown as BunWebSocket)(url, { headers });
}

const BridgePlugin: Plugin = async ({ client, directory }) => {
  let log: Log | undefined;
  try {
    const { bridge, log: file } = shared();
    log = file;
    const attached = bridge.attach(directory, createApi(client));
    file.write(`Plugin initialized: ${directory}`);
    const guard = (what: string, fn: () => void) => {
      try {
        fn();
      } catch (e) {
        file.write(`${what}: ${errorText(e)}`, "warn");
      }
    };
    const hooks: Hooks = {
      // async, and never rejects: a synchronous throw would end the turn without a word
      event: async ({ event }) => guard(`event ${event.type}`, () => attached.handle(event)),
      dispose: async () =>
        guard("dispose", () => {
          file.write(`Plugin disposed: ${directory}`);
          bridge.detach(attached);
        }),
    };
    return hooks;
  } catch (e) {
    log?.write(`not loaded: ${errorText(e)}`, "warn");
    return {};
  }
};

export default BridgePlugin;
