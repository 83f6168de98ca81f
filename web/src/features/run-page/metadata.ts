/** What was recorded of a run's surroundings, as facts a person reads; unknown keys are shown too. */
import { countOf } from "@/base/format";
import { isList, isMap, type JsonMap, JsonNumber, type JsonValue } from "@/base/json";

import { leafText } from "./valueTree";

export interface Fact {
  readonly label: string;
  /** null: not recorded. */
  readonly text: string | null;
  /** Written in the font of code, with a button that copies it. */
  readonly isCode?: boolean;
}

export interface FactGroup {
  readonly title: string;
  readonly facts: readonly Fact[];
}

const EMPTY: JsonMap = new Map();

/** Keys that have a place of their own below. */
const SHOWN = new Set(
  [
    "host os distribution machine cpu_count cpu_count_logical cpu_model memory_bytes gpus",
    "python implementation executable program command cwd pid environment git packages",
  ]
    .join(" ")
    .split(" "),
);

/** Returns the facts in groups; those every run should have say "not recorded" where they are missing. */
export function factGroups(metadata: JsonMap): FactGroup[] {
  const groups = [
    { title: "Machine", facts: machineFacts(metadata) },
    { title: "Program", facts: programFacts(metadata) },
    { title: "Git", facts: gitFacts(mapAt(metadata, "git")) },
    { title: "Environment", facts: plainFacts(mapAt(metadata, "environment"), new Set()) },
    { title: "Also recorded", facts: plainFacts(metadata, SHOWN) },
  ];
  return groups.filter((group) => group.facts.length > 0);
}

function machineFacts(metadata: JsonMap): Fact[] {
  const system = [textAt(metadata, "distribution"), textAt(metadata, "os"), textAt(metadata, "machine")];
  return [
    { label: "Host", text: textAt(metadata, "host"), isCode: true },
    { label: "System", text: joined(system, " · ") },
    { label: "CPU", text: joined([textAt(metadata, "cpu_model"), coresOf(metadata)], ", ") },
    { label: "Memory", text: bytesAt(metadata, "memory_bytes") },
    ...gpuFacts(metadata.get("gpus") ?? null),
  ];
}

function coresOf(metadata: JsonMap): string | null {
  const cores = numberAt(metadata, "cpu_count");
  const logical = numberAt(metadata, "cpu_count_logical");
  if (cores === null) return logical === null ? null : countOf(logical, "core");
  return logical === null || logical === cores
    ? countOf(cores, "core")
    : `${countOf(cores, "core")}, ${countOf(logical, "thread")}`;
}

/** One line for GPUs of one kind. */
function gpuFacts(gpus: JsonValue): Fact[] {
  if (gpus === null || !isList(gpus)) return [{ label: "GPU", text: null }];
  const counts = new Map<string, number>();
  for (const gpu of gpus) {
    const text = isMap(gpu)
      ? joined([textAt(gpu, "name"), bytesAt(gpu, "memory_bytes")], ", ")
      : leafText(gpu);
    counts.set(text ?? "unnamed", (counts.get(text ?? "unnamed") ?? 0) + 1);
  }
  if (counts.size === 0) return [{ label: "GPU", text: "none" }];
  return [...counts].map(([text, count]) => ({
    label: "GPU",
    text: count > 1 ? `${count} × ${text}` : text,
  }));
}

function programFacts(metadata: JsonMap): Fact[] {
  const python = joined([textAt(metadata, "implementation"), textAt(metadata, "python")], " ");
  return [
    { label: "Command", text: commandOf(metadata.get("command") ?? null), isCode: true },
    { label: "Folder", text: textAt(metadata, "cwd"), isCode: true },
    { label: "Script", text: textAt(metadata, "program"), isCode: true },
    { label: "Python", text: python?.replace("cpython", "CPython") ?? null },
    { label: "Executable", text: textAt(metadata, "executable"), isCode: true },
    { label: "Process", text: textAt(metadata, "pid") },
  ];
}

/** A command line as it can be pasted into a shell. */
export function commandOf(command: JsonValue): string | null {
  if (command === null || !isList(command)) return command === null ? null : leafText(command);
  return command.map((word) => quoted(leafText(word))).join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}

function gitFacts(git: JsonMap): Fact[] {
  const isDirty = git.get("is_dirty") ?? git.get("dirty") ?? null;
  return [
    { label: "Commit", text: textAt(git, "commit"), isCode: true },
    { label: "Branch", text: textAt(git, "branch"), isCode: true },
    { label: "Remote", text: textAt(git, "remote"), isCode: true },
    ...(git.has("root") ? [{ label: "Work tree", text: textAt(git, "root"), isCode: true }] : []),
    ...(typeof isDirty === "boolean"
      ? [{ label: "Changes", text: isDirty ? "files differed from the commit" : "none, all was committed" }]
      : []),
  ];
}

function plainFacts(map: JsonMap, left: ReadonlySet<string>): Fact[] {
  return [...map]
    .filter(([name, value]) => !left.has(name) && value !== null)
    .map(([name, value]) => ({ label: name, text: leafText(value), isCode: true }));
}

/** Packages as name and version, from a map or a list of `name==version`. */
export function packagesOf(metadata: JsonMap): readonly (readonly [name: string, version: string])[] {
  const packages = metadata.get("packages") ?? null;
  if (packages === null || typeof packages !== "object" || packages instanceof JsonNumber) return [];
  if (isMap(packages)) return [...packages].map(([name, version]) => [name, leafText(version)]);
  return packages.map((item) => {
    const [name = "", version = ""] = leafText(item).split("==");
    return [name, version];
  });
}

function mapAt(map: JsonMap, key: string): JsonMap {
  const value = map.get(key) ?? null;
  return value !== null && typeof value === "object" && isMap(value) ? value : EMPTY;
}

function textAt(map: JsonMap, key: string): string | null {
  const value = map.get(key) ?? null;
  return value === null || value === "" ? null : leafText(value);
}

function numberAt(map: JsonMap, key: string): number | null {
  const value = map.get(key);
  return value instanceof JsonNumber ? value.value : null;
}

function bytesAt(map: JsonMap, key: string): string | null {
  const bytes = numberAt(map, key);
  return bytes === null ? null : formatMemory(bytes);
}

/** Memory is sold and spoken of in powers of two: 64 GiB. */
function formatMemory(bytes: number): string {
  const gib = bytes / 2 ** 30;
  return gib >= 1 ? `${Number(gib.toPrecision(3))} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
}

function joined(parts: readonly (string | null)[], between: string): string | null {
  const found = parts.filter((part) => part !== null);
  return found.length === 0 ? null : found.join(between);
}
