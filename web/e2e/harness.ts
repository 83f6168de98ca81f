/**
 * What every spec needs: the real server on a folder of its own, runs logged with the real SDK, and
 * a page in a real browser that is signed in.
 *
 * The program under test is `$EPOCHAL_BIN`, or the one in the checkout's virtual environment; the
 * browser is `$CHROMIUM_BIN`, or Debian's Chromium.  Without a browser the specs are skipped.
 */
import { type ChildProcessWithoutNullStreams, execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe } from "vitest";

const run = promisify(execFile);

const EPOCHAL =
  process.env["EPOCHAL_BIN"] ?? fileURLToPath(new URL("../../.venv/bin/epochal", import.meta.url));
const PYTHON = join(dirname(EPOCHAL), "python");
const CHROMIUM = process.env["CHROMIUM_BIN"] ?? "/usr/bin/chromium";
const START_MS = 30_000;
/** How long a page may take to show what it should; on a busy machine everything takes longer. */
export const SOON_MS = 15_000;

/** A server of its own, its runs and a browser; started before the specs of a file, gone after them. */
export interface Stage {
  /** Address of the server, without a slash at the end. */
  readonly url: string;
  /** Logs runs with a Python script, in which `epochal` is imported; waits until it is done. */
  readonly log: (script: string) => Promise<void>;
  /** Starts a script that goes on: it gets each line that is sent to it on its standard input. */
  readonly train: (script: string) => Trainer;
  /** Opens a path of the app in a window of its own, signed in. */
  readonly open: (path: string, options?: BrowserContextOptions) => Promise<Page>;
}

/** A training script that waits for lines. */
export interface Trainer {
  /** Sends a line and waits until the script has printed one in answer. */
  readonly tell: (line: string) => Promise<string>;
  /** Ends the script's input and waits until it has exited. */
  readonly finish: () => Promise<void>;
}

/** Runs specs on a stage of their own; where there is no browser they are reported as skipped. */
export function describeOnStage(name: string, specs: (stage: Stage) => void): void {
  const hasBrowser = existsSync(CHROMIUM);
  if (!hasBrowser) console.warn(`${name}: not run, there is no browser at ${CHROMIUM}`);
  describe.skipIf(!hasBrowser)(name, () => {
    const stage = new RealStage();
    beforeAll(() => stage.start());
    afterAll(() => stage.stop());
    specs(stage);
  });
}

class RealStage implements Stage {
  url = "";
  private home = "";
  private server: ChildProcessWithoutNullStreams | undefined;
  private browser: Browser | undefined;
  private session: Exclude<BrowserContextOptions["storageState"], string | undefined> | undefined;
  private readonly trainers: ChildProcessWithoutNullStreams[] = [];

  async start(): Promise<void> {
    this.home = await mkdtemp(join(tmpdir(), "epochal-e2e-"));
    this.server = spawn(EPOCHAL, ["ui", "--no-browser", "--port", "0"], { env: this.environment() });
    const link = await firstLink(this.server);
    this.url = new URL(link).origin;
    this.browser = await chromium.launch({
      executablePath: CHROMIUM,
      // A container has no user namespaces for the sandbox, and a test asks nothing of the network.
      args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
    });
    const context = await this.browser.newContext();
    const page = await context.newPage();
    await page.goto(link);
    this.session = await context.storageState();
    await context.close();
  }

  async stop(): Promise<void> {
    for (const trainer of this.trainers) trainer.kill("SIGKILL");
    await this.browser?.close();
    if (this.server !== undefined) await ended(this.server);
    await rm(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  readonly log = async (script: string): Promise<void> => {
    await run(PYTHON, ["-c", `import epochal\n${script}`], { env: this.environment(), cwd: this.home });
  };

  readonly train = (script: string): Trainer => {
    const child = spawn(PYTHON, ["-u", "-c", `import sys\nimport epochal\n${script}`], {
      env: this.environment(),
      cwd: this.home,
    });
    this.trainers.push(child);
    let complaints = "";
    child.stderr.on("data", (data: Buffer) => (complaints += data.toString()));
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    return {
      tell: async (line) => {
        child.stdin.write(`${line}\n`);
        const { value } = (await lines.next()) as { value?: string };
        if (value === undefined) throw new Error(`the training script ended: ${complaints}`);
        return value;
      },
      finish: async () => {
        child.stdin.end();
        if (child.exitCode === null) await new Promise((resolve) => child.once("exit", resolve));
        if (child.exitCode !== 0) throw new Error(`the training script failed: ${complaints}`);
      },
    };
  };

  readonly open = async (path: string, options: BrowserContextOptions = {}): Promise<Page> => {
    if (this.browser === undefined || this.session === undefined) throw new Error("the stage is not up");
    const context = await this.browser.newContext({
      viewport: { width: 1440, height: 900 },
      storageState: this.session,
      ...options,
    });
    context.setDefaultTimeout(SOON_MS);
    const page = await context.newPage();
    await page.goto(this.url + path);
    return page;
  };

  private environment(): NodeJS.ProcessEnv {
    const kept = Object.entries(process.env).filter(([name]) => !/^(EPOCHAL|WANDB)_/.test(name));
    return { ...Object.fromEntries(kept), EPOCHAL_HOME: this.home, EPOCHAL_SILENT: "true" };
  }
}

/** The sign-in link that a starting server prints. */
async function firstLink(server: ChildProcessWithoutNullStreams): Promise<string> {
  let printed = "";
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`${why}. The server printed:\n${printed}`));
    const timer = setTimeout(() => fail("No sign-in link in time"), START_MS);
    const read = (data: Buffer) => {
      printed += data.toString();
      const link = /http:\/\/\S+\/login\?token=\S+/.exec(printed)?.[0];
      if (link === undefined) return;
      clearTimeout(timer);
      resolve(link);
    };
    server.stdout.on("data", read);
    server.stderr.on("data", read);
    server.once("exit", (code) => {
      clearTimeout(timer);
      fail(`The server exited with ${code ?? "a signal"}`);
    });
  });
}

async function ended(child: ChildProcessWithoutNullStreams): Promise<void> {
  if (child.exitCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await gone;
  clearTimeout(timer);
}

/** The panel of a metric. */
export function panelOf(page: Page, key: string) {
  return page.locator(`article[aria-label="${key}"]`);
}

/** Waits until a panel says what it is made of, such as "3 points, exact". */
export async function waitForNote(page: Page, key: string, note: string | RegExp): Promise<void> {
  await panelOf(page, key).locator("footer").filter({ hasText: note }).waitFor();
}

/** Where the lines of a panel are drawn, in pixels of the window. */
export async function plotBox(page: Page, key: string) {
  const box = await panelOf(page, key).locator(".u-over").boundingBox();
  if (box === null) throw new Error(`the panel ${key} has no plot`);
  return box;
}
