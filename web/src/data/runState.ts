/** What a run's state looks like: an icon, a tone and a word, never a colour alone. */
import type { RunState } from "@/wire/operations.gen";

export interface StateLook {
  readonly icon: "dot" | "quiet" | "check" | "close" | "stop" | "bolt" | "pause";
  readonly tone: "quiet" | "good" | "warn" | "bad";
  readonly word: string;
}

const LOOKS: Readonly<Record<RunState, StateLook>> = {
  running: { icon: "dot", tone: "good", word: "running" },
  silent: { icon: "quiet", tone: "warn", word: "silent" },
  finished: { icon: "check", tone: "quiet", word: "finished" },
  failed: { icon: "close", tone: "bad", word: "failed" },
  killed: { icon: "stop", tone: "bad", word: "killed" },
  crashed: { icon: "bolt", tone: "bad", word: "crashed" },
  preempted: { icon: "pause", tone: "warn", word: "preempted" },
};

export function stateLook(state: RunState): StateLook {
  return LOOKS[state];
}

/** The run may still log: running, or silent for so short that it may come back. */
export function isAlive(state: RunState): boolean {
  return state === "running" || state === "silent";
}
