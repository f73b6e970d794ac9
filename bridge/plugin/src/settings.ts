import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import manifest from "../package.json";
import { takeToken } from "./secrets.js";
import { isTraceId } from "./trace.js";

export interface Settings {
  gatewayWs: string;
  gatewayUrl: string;
  token: string;
  pod: string;
  instance: string;
  version: string;
  /** The run of codev-prepare that this OpenCode was started after; "" when it does not say. */
  prepareId: string;
  log: string;
}

/** Takes the secrets out of `env`. */
export function readSettings(env: Record<string, string | undefined>): Settings {
  return {
    gatewayWs: env.GATEWAY_WS || "ws://127.0.0.1:8000/ws/bridge",
    gatewayUrl: (env.GATEWAY_URL || "http://127.0.0.1:8000").replace(/\/+$/, ""),
    token: takeToken(env),
    pod: (env.CODEV_POD || env.POD_NAME || hostname() || "default").slice(0, 256),
    instance: randomBytes(12).toString("hex"),
    version: manifest.version,
    prepareId: isTraceId(env.CODEV_PREPARE_ID) ? env.CODEV_PREPARE_ID : "",
    log: env.CODEV_PLUGIN_LOG || "/tmp/slack-bridge-plugin.log",
  };
}

/** For the log: without user, password and query. */
export function publicUrl(url: string): string {
  try {
    const u = new URL(url);
    return `${u.protocol}//${u.host}${u.pathname}`;
  } catch {
    return "(not a URL)";
  }
}
