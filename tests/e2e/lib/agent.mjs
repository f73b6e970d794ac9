// What an agent does in a pod: a scripted model makes OpenCode call its tools, one after the other.
import { eventually } from "./util.mjs";

// Calls: [tool, arguments]. Resolves with the tool parts of the session, in order, when the model
// has said its last word.
export async function agentCalls(pod, calls, ms = 120000) {
  const turns = calls.map(([tool, args]) => `@@tool ${tool} ${JSON.stringify(args)}`);
  const id = await pod.prompt(`please\n${turns.join("\n@@then\n")}\n@@then\n@@text That was all.`);
  return eventually(
    `the agent's ${calls.length} calls`,
    async () => {
      const messages = (await pod.oc(`/session/${id}/message`)).body;
      const parts = messages.flatMap((m) => m.parts);
      return parts.some((p) => p.type === "text" && p.text === "That was all.") && parts.filter((p) => p.type === "tool");
    },
    ms,
    250,
  );
}

// Shell commands by the bash tool; what each printed.
export async function agentRuns(pod, commands, ms) {
  const parts = await agentCalls(pod, commands.map((command) => ["bash", { command, description: "Test", timeout: 60000 }]), ms);
  return parts.map((part) => part.state.output ?? part.state.error ?? "");
}
