/** What the keys of system metrics mean to a person: a group, a title, a unit. */

export type SystemGroup = "CPU" | "Memory" | "GPU" | "Disk" | "Network" | "Other";

/** The order in which the groups stand on a page. */
export const SYSTEM_GROUPS: readonly SystemGroup[] = ["CPU", "Memory", "GPU", "Disk", "Network", "Other"];

export interface SystemMetric {
  readonly group: SystemGroup;
  readonly title: string;
  /** Empty for a plain number. */
  readonly unit: string;
}

const KNOWN: Readonly<Record<string, SystemMetric>> = {
  cpu: { group: "CPU", title: "CPU use of the run", unit: "%" },
  "proc.cpu.threads": { group: "CPU", title: "Threads of the run", unit: "" },
  memory_percent: { group: "Memory", title: "System memory in use", unit: "%" },
  "proc.memory.rssMB": { group: "Memory", title: "Memory of the run", unit: "MiB" },
  "proc.memory.percent": { group: "Memory", title: "Memory of the run", unit: "%" },
  "proc.memory.availableMB": { group: "Memory", title: "Memory available", unit: "MiB" },
  "network.sent": { group: "Network", title: "Sent since the start", unit: "B" },
  "network.recv": { group: "Network", title: "Received since the start", unit: "B" },
  "disk.in": { group: "Disk", title: "Read since the start", unit: "MiB" },
  "disk.out": { group: "Disk", title: "Written since the start", unit: "MiB" },
};

const GPU: Readonly<Record<string, readonly [title: string, unit: string]>> = {
  gpu: ["use", "%"],
  memory: ["time accessing memory", "%"],
  memoryAllocated: ["memory in use", "%"],
  memoryAllocatedBytes: ["memory in use", "B"],
  temp: ["temperature", "°C"],
  powerWatts: ["power", "W"],
  powerPercent: ["power of its limit", "%"],
  enforcedPowerLimitWatts: ["power limit", "W"],
  smClock: ["SM clock", "MHz"],
  memoryClock: ["memory clock", "MHz"],
  graphicsClock: ["graphics clock", "MHz"],
  correctedMemoryErrors: ["memory errors, corrected", ""],
  uncorrectedMemoryErrors: ["memory errors, not corrected", ""],
  fanSpeed: ["fan", "%"],
  encoderUtilization: ["encoder use", "%"],
};

const DISK: Readonly<Record<string, readonly [title: string, unit: string]>> = {
  usagePercent: ["full", "%"],
  usageGB: ["in use", "GiB"],
  in: ["read since the start", "MiB"],
  out: ["written since the start", "MiB"],
};

/** Returns what a key of the stream `system` means; an unknown one stands for itself. */
export function systemMetric(key: string): SystemMetric {
  const [name = key, label] = key.split("/l:");
  const metric = KNOWN[name] ?? gpuMetric(name) ?? diskMetric(name) ?? otherMetric(name);
  return label === undefined ? metric : { ...metric, title: `${metric.title} (${label})` };
}

function gpuMetric(name: string): SystemMetric | undefined {
  const [, process, index = "", figure = ""] = /^gpu\.(process\.)?(\d+)\.(.+)$/.exec(name) ?? [];
  const known = GPU[figure];
  if (index === "") return undefined;
  const owner = process === undefined ? "" : ", while the run uses it";
  return {
    group: "GPU",
    title: `GPU ${index} ${known?.[0] ?? figure}${owner}`,
    unit: known?.[1] ?? "",
  };
}

/** A path or a device may hold dots itself, so the figure is what stands after the last one. */
function diskMetric(name: string): SystemMetric | undefined {
  const [, place = "", figure = ""] = /^disk\.(.+)\.([^.]+)$/.exec(name) ?? [];
  const known = DISK[figure];
  return known && { group: "Disk", title: `${place} ${known[0]}`, unit: known[1] };
}

function otherMetric(name: string): SystemMetric {
  const group = (["CPU", "Memory", "GPU", "Disk", "Network"] as const).find((candidate) =>
    name.toLowerCase().startsWith(candidate.toLowerCase()),
  );
  return { group: group ?? "Other", title: name, unit: "" };
}

const RANKS = [...Object.keys(KNOWN), ...Object.keys(GPU), ...Object.keys(DISK)];

/** The device that a key is about: all figures of one stand together. */
function ownerOf(key: string): string {
  return /^(gpu\.(?:process\.)?\d+|disk\..+)\.[^.]+$/.exec(key)?.[1] ?? "";
}

/** Within a device, what is looked at first comes first. */
function rankOf(key: string): number {
  const [name = key] = key.split("/l:");
  const rank = RANKS.indexOf(KNOWN[name] === undefined ? (name.split(".").at(-1) ?? name) : name);
  return rank < 0 ? RANKS.length : rank;
}

/** Returns the keys by group, in the order of a page; a group without keys is left out. */
export function groupSystemKeys(keys: readonly string[]): { group: SystemGroup; keys: string[] }[] {
  const titles = new Map(keys.map((key) => [key, systemMetric(key)]));
  const { compare } = new Intl.Collator("en", { numeric: true });
  return SYSTEM_GROUPS.map((group) => ({
    group,
    keys: keys
      .filter((key) => titles.get(key)?.group === group)
      .sort((a, b) => compare(ownerOf(a), ownerOf(b)) || rankOf(a) - rankOf(b) || compare(a, b)),
  })).filter((each) => each.keys.length > 0);
}
