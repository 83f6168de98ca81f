import { describe, expect, test } from "vitest";

import { type JsonMap, parseJson } from "@/base/json";

import { commandOf, factGroups, packagesOf } from "./metadata";

const mapOf = (text: string) => parseJson(text) as JsonMap;

function fact(metadata: string, title: string, label: string): string | null | undefined {
  const group = factGroups(mapOf(metadata)).find((each) => each.title === title);
  return group?.facts.find((each) => each.label === label)?.text;
}

describe("a run's surroundings", () => {
  test("what was not recorded is told as such, not left out", () => {
    for (const [title, label] of [
      ["Machine", "Host"],
      ["Machine", "GPU"],
      ["Program", "Command"],
      ["Git", "Commit"],
    ] as const) {
      expect(fact("{}", title, label)).toBeNull();
    }
  });

  test("cores and threads are told apart, memory has a unit", () => {
    const metadata =
      '{"cpu_model": "Fast 9", "cpu_count": 8, "cpu_count_logical": 16, "memory_bytes": 68719476736}';
    expect(fact(metadata, "Machine", "CPU")).toBe("Fast 9, 8 cores, 16 threads");
    expect(fact(metadata, "Machine", "Memory")).toBe("64 GiB");
  });

  test("GPUs of one kind are counted", () => {
    const gpu = '{"name": "H100", "memory_bytes": 85899345920}';
    expect(fact(`{"gpus": [${gpu}, ${gpu}]}`, "Machine", "GPU")).toBe("2 × H100, 80 GiB");
    expect(fact('{"gpus": []}', "Machine", "GPU")).toBe("none");
  });

  test("a key that nobody planned for is shown as it is", () => {
    expect(fact('{"queue": "night", "nested": {"_type": "x"}}', "Also recorded", "queue")).toBe("night");
  });

  test("uncommitted changes are said in words", () => {
    expect(fact('{"git": {"commit": "abc", "is_dirty": true}}', "Git", "Changes")).toBe(
      "files differed from the commit",
    );
  });
});

test("a command can be pasted into a shell", () => {
  expect(commandOf(parseJson('["python", "train.py", "--name", "it\'s mine", "--lr=3e-4"]'))).toBe(
    "python train.py --name 'it'\\''s mine' --lr=3e-4",
  );
  expect(commandOf("python train.py")).toBe("python train.py");
});

test.each([
  '{"packages": {"numpy": "2.1.0", "torch": "2.5.1"}}',
  '{"packages": ["numpy==2.1.0", "torch==2.5.1"]}',
])("packages are read from %s", (metadata) => {
  expect(packagesOf(mapOf(metadata))).toEqual([
    ["numpy", "2.1.0"],
    ["torch", "2.5.1"],
  ]);
});
