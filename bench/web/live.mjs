/**
 * How long a logged row takes to be on an open page: a real server, a real training process, a real browser.
 *
 *     node bench/web/live.mjs [rows, default 40]
 *
 * The training process logs a row at irregular moments and says when `log()` returned; the page, open on
 * the run's workspace, is looked at every frame until the panel counts the point.  Needs `make install`
 * and Chromium.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const { chromium } = createRequire(join(root, "web/package.json"))("playwright-core");
const nRows = Number(process.argv[2] ?? 40);
const home = mkdtempSync(join(tmpdir(), "epochal-live-"));
const env = { ...process.env, EPOCHAL_HOME: home };

const SCRIPT = `
import random, sys, time
import epochal as wandb
run = wandb.init(project="live", settings={"silent": True})
run.log({"loss": 1.0})
print("ready", flush=True)
sys.stdin.readline()
for i in range(${nRows}):
    time.sleep(random.uniform(0.5, 2.5))
    run.log({"loss": 1.0 / (i + 2)})
    print(i + 2, time.time(), flush=True)
run.finish()
`;

const median = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];

const server = spawn(join(root, ".venv/bin/epochal"), ["ui", "--no-browser", "--port", "0"], { env });
const trainer = spawn(join(root, ".venv/bin/python"), ["-c", SCRIPT], {
  env,
  stdio: ["pipe", "pipe", "inherit"],
});
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
});
try {
  const link = await new Promise((resolve) => {
    createInterface({ input: server.stdout }).on("line", (line) => {
      const found = /http\S+token=\S+/.exec(line);
      if (found) resolve(found[0]);
    });
  });
  const lines = createInterface({ input: trainer.stdout });
  const logged = new Map();
  await new Promise((resolve) => {
    lines.on("line", (line) => {
      const [n, time] = line.split(" ");
      if (n === "ready") resolve();
      else logged.set(Number(n), Number(time) * 1000);
    });
  });
  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await page.goto(link);
  await page.goto(new URL("/local/live", link).href);
  await page.waitForFunction(() => /\d/.test(document.querySelector(".ep-panel-foot")?.textContent ?? ""));
  await page.evaluate(() => {
    window.seen = [];
    const look = () => {
      const text = document.querySelector(".ep-panel-foot")?.textContent ?? "";
      const n = Number(/([\d,]+) points?/.exec(text)?.[1]?.replaceAll(",", "") ?? 0);
      while (window.seen.length < n) window.seen.push(Date.now());
      requestAnimationFrame(look);
    };
    look();
  });
  trainer.stdin.write("\n");
  await new Promise((resolve) => trainer.on("exit", resolve));
  await page.waitForTimeout(3000);
  const seen = await page.evaluate(() => window.seen);
  const delays = [...logged].map(([n, at]) => (seen[n - 1] ?? Infinity) - at).sort((a, b) => a - b);
  const [p50, p95, max] = [median(delays, 0.5), median(delays, 0.95), delays.at(-1)].map(
    (ms) => `${Math.round(ms)} ms`,
  );
  console.log(`| rows | on the page, p50 | p95 | longest | aim |\n|---|---|---|---|---|`);
  console.log(`| ${delays.length} | ${p50} | ${p95} | ${max} | < 2000 ms |`);
} finally {
  await browser.close();
  server.kill("SIGTERM");
  trainer.kill("SIGTERM");
  await new Promise((resolve) => (server.exitCode === null ? server.on("exit", resolve) : resolve()));
  rmSync(home, { recursive: true, force: true });
}
