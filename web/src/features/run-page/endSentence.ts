/** How a run ended, in words. */
import { formatDateTime } from "@/base/format";

import type { RunData } from "./runData";

export interface EndSentence {
  readonly title: string;
  readonly details: string;
}

/** Source: signal(7), Linux on x86 and ARM. */
const SIGNALS: Readonly<Record<number, string>> = {
  1: "SIGHUP",
  2: "SIGINT",
  3: "SIGQUIT",
  4: "SIGILL",
  6: "SIGABRT",
  7: "SIGBUS",
  8: "SIGFPE",
  9: "SIGKILL",
  11: "SIGSEGV",
  13: "SIGPIPE",
  15: "SIGTERM",
  24: "SIGXCPU",
};

/** Returns what to say of a run that did not end well, or that was not heard of; null for all others. */
export function endSentence(run: Pick<RunData, "state" | "exit" | "heartbeatAt">): EndSentence | null {
  const { state, exit } = run;
  const lastHeard = formatDateTime(new Date(run.heartbeatAt));
  const reason = exit?.reason ?? "";
  if (state === "failed") return { title: failedTitle(exit?.exitCode ?? null), details: reason };
  if (state === "killed") return { title: `Killed${bySignal(exit?.signal ?? null)}`, details: reason };
  if (state === "preempted") {
    return {
      title: `Preempted${bySignal(exit?.signal ?? null)}`,
      details: reason || "The script had said that this was coming.",
    };
  }
  if (state === "crashed") {
    const silence = `Its process vanished without saying how it ended. The last sign of life was on ${lastHeard}.`;
    return {
      title: `Crashed${bySignal(exit?.signal ?? null)}`,
      details: reason || (exit === null ? silence : ""),
    };
  }
  if (state === "silent") {
    return {
      title: "Silent",
      details: `No sign of life since ${lastHeard}. It may be paused, or its machine may be gone; after five minutes it counts as crashed.`,
    };
  }
  return null;
}

function failedTitle(exitCode: number | null): string {
  return exitCode === null ? "Failed" : `Failed with exit code ${exitCode}`;
}

function bySignal(signal: number | null): string {
  if (signal === null) return "";
  const name = SIGNALS[signal];
  return name === undefined ? ` by signal ${signal}` : ` by signal ${signal} (${name})`;
}
