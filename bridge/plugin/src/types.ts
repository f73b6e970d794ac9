// The frames of bridge/PROTOCOL.md, as far as the plugin makes or reads them.

export type Json = Record<string, unknown>;

export interface Model {
  provider: string;
  model: string;
}

export interface Retry {
  attempt: number;
  message: string;
  next_ms: number;
}

export interface ToolRef {
  message_id: string;
  call_id: string;
}

export interface Session {
  id: string;
  directory: string;
  title: string;
  parent_id?: string;
  agent?: string;
  model?: Model;
  cost?: number;
  tokens?: number;
  created_ms: number;
  updated_ms: number;
}

export interface Permission {
  id: string;
  permission: string;
  patterns: string[];
  metadata: Json;
  always: string[];
  tool?: ToolRef;
  truncated?: boolean;
}

export interface Question {
  id: string;
  questions: {
    question: string;
    header: string;
    options: { label: string; description: string }[];
    multiple: boolean;
    custom: boolean;
  }[];
  tool?: ToolRef;
}

export interface Busy {
  session_id: string;
  root_session_id?: string;
  retry?: Retry;
}

export interface Tokens {
  input: number;
  output: number;
  reasoning: number;
  cache_read: number;
  cache_write: number;
}

export type EventBody =
  | { type: "session.created" | "session.updated"; session: Session }
  | { type: "session.deleted" | "session.idle" }
  | { type: "session.active"; retry?: Retry }
  | { type: "session.error"; name: string; message: string; status_code?: number; aborted: boolean }
  | {
      type: "message.part.streamed";
      message_id: string;
      part_id: string;
      role: "user" | "assistant";
      kind: "text" | "reasoning";
      content: string;
      final: boolean;
      truncated?: boolean;
    }
  | {
      type: "tool.executed";
      message_id: string;
      part_id: string;
      call_id: string;
      tool: string;
      title: string;
      status: "running" | "completed" | "error";
      duration_ms: number;
      error?: string;
      output?: string;
    }
  | { type: "agent.milestone"; text: string }
  | { type: "prompt.changed"; message_id: string; files: number; additions: number; deletions: number }
  | { type: "permission.asked"; permission: Permission }
  | { type: "permission.replied"; permission_id: string; reply: "once" | "always" | "reject" }
  | { type: "question.asked"; question: Question }
  | { type: "question.replied"; question_id: string; rejected: boolean; answers: string[][] }
  | { type: "usage"; message_id: string; cost: number; tokens: Tokens; model?: Model }
  | {
      type: "state.sync";
      as_of_seq: number;
      complete: boolean;
      permissions: { session_id: string; root_session_id: string; permission: Permission }[];
      questions: { session_id: string; root_session_id: string; question: Question }[];
      busy: Busy[];
      sessions: Session[];
    };

export type EventType = EventBody["type"];

/** An event before it has its number and its root session. */
export type Draft = EventBody & { session_id: string; time: number; trace_id?: string };

export type EventFrame = Draft & { seq: number; directory: string; root_session_id?: string };

/** An event of OpenCode as the `event` hook gets it. */
export interface SourceEvent {
  type: string;
  properties: Json;
}
