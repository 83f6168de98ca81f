import { expect, test } from "vitest";

import { endSentence } from "./endSentence";

const heartbeatAt = "2026-01-02T03:04:05Z";
const exit = { exitCode: null, signal: null, traceback: null, reason: null };

test("a run that goes on, or ended well, needs no words", () => {
  expect(endSentence({ state: "running", exit: null, heartbeatAt })).toBeNull();
  expect(endSentence({ state: "finished", exit: { ...exit, exitCode: 0 }, heartbeatAt })).toBeNull();
});

test.each([
  ["failed", { ...exit, exitCode: 3 }, "Failed with exit code 3", ""],
  ["failed", exit, "Failed", ""],
  [
    "killed",
    { ...exit, signal: 9, reason: "out of memory" },
    "Killed by signal 9 (SIGKILL)",
    "out of memory",
  ],
  ["crashed", { ...exit, signal: 11 }, "Crashed by signal 11 (SIGSEGV)", ""],
  ["killed", { ...exit, signal: 63 }, "Killed by signal 63", ""],
  ["preempted", { ...exit, signal: 15, reason: "spot" }, "Preempted by signal 15 (SIGTERM)", "spot"],
] as const)("%s with %j", (state, how, title, details) => {
  expect(endSentence({ state, exit: how, heartbeatAt })).toEqual({ title, details });
});

test("of a run that vanished, the last sign of life is told", () => {
  const sentence = endSentence({ state: "crashed", exit: null, heartbeatAt });
  expect(sentence?.title).toBe("Crashed");
  expect(sentence?.details).toMatch(/last sign of life was on .*2026/);
});
