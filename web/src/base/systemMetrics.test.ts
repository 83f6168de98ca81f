import { expect, test } from "vitest";

import { groupSystemKeys, systemMetric } from "./systemMetrics";

test.each([
  ["cpu", "CPU", "CPU use of the run", "%"],
  ["gpu.0.temp", "GPU", "GPU 0 temperature", "°C"],
  ["gpu.process.11.powerWatts", "GPU", "GPU 11 power, while the run uses it", "W"],
  ["disk./mnt/data.v2.usagePercent", "Disk", "/mnt/data.v2 full", "%"],
  ["disk.nvme0n1.in", "Disk", "nvme0n1 read since the start", "MiB"],
  ["disk.in", "Disk", "Read since the start", "MiB"],
  ["cpu/l:rank 3", "CPU", "CPU use of the run (rank 3)", "%"],
  ["gpu.0.somethingNew", "GPU", "GPU 0 somethingNew", ""],
  ["tpu.0.dutyCycle", "Other", "tpu.0.dutyCycle", ""],
])("%s is in %s as “%s”", (key, group, title, unit) => {
  expect(systemMetric(key)).toEqual({ group, title, unit });
});

test("every key stands in exactly one group, in the order of the page", () => {
  const keys = [
    "network.recv",
    "gpu.10.gpu",
    "gpu.2.temp",
    "gpu.2.gpu",
    "weird",
    "cpu",
    "memory_percent",
    "disk./.usageGB",
  ];
  const groups = groupSystemKeys(keys);
  expect(groups.map((each) => each.group)).toEqual(["CPU", "Memory", "GPU", "Disk", "Network", "Other"]);
  expect(groups.flatMap((each) => each.keys).sort()).toEqual([...keys].sort());
  expect(groups[2]?.keys).toEqual(["gpu.2.gpu", "gpu.2.temp", "gpu.10.gpu"]);
});
