import { readFile } from "node:fs/promises";

import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { describeOnStage } from "./harness";

const rowsOf = (page: Page) => page.locator(".ep-log-row");
const lineOf = (page: Page, text: string) => rowsOf(page).filter({ hasText: text });
const scrollToTop = (page: Page) => page.getByRole("log").evaluate((element) => (element.scrollTop = 0));

const PRINTER = `
run = epochal.init(project="logs", id="printing")
for line in sys.stdin:
    for number in range(60):
        print(line.strip(), number, file=sys.stderr)
    run.log({"loss": 0.5})
    print("logged")
run.finish()
`;

describeOnStage("a run's log", (stage) => {
  test("looks as it did in the terminal: colours, progress bars as they ended, errors marked", async () => {
    await stage.log(`
import sys
with epochal.init(project="logs", id="terminal") as run:
    print("\\x1b[31mred\\x1b[0m and plain")
    for percent in range(0, 101, 10):
        print(f"\\r{percent:3d}% done", end="")
    print()
    print("<b>not bold</b>")
    print("to the other stream", file=sys.stderr)
`);
    const page = await stage.open("/local/logs/runs/terminal?tab=logs");
    await lineOf(page, "red and plain").locator('[data-color="1"]').getByText("red").waitFor();
    expect(await lineOf(page, "100% done").locator(".ep-log-text").textContent()).toBe("100% done");
    expect(await lineOf(page, "<b>not bold</b>").count()).toBe(1);
    await lineOf(page, "to the other stream").getByText("err", { exact: true }).waitFor();
    expect(await lineOf(page, "and plain").getByText("err", { exact: true }).count()).toBe(0);
  });

  test("follows its end while one is there, and only then", async () => {
    const trainer = stage.train(PRINTER);
    await trainer.tell("first");
    const page = await stage.open("/local/logs/runs/printing?tab=logs");
    await lineOf(page, "first 59").waitFor();
    await trainer.tell("second");
    await lineOf(page, "second 59").waitFor();
    expect(await page.getByRole("button", { name: "Follow the end" }).count()).toBe(0);

    await scrollToTop(page);
    await lineOf(page, "first 0").first().waitFor();
    await trainer.tell("third");
    await page.getByText(/^18\d lines$/).waitFor();
    expect(await page.getByRole("log").evaluate((element) => element.scrollTop)).toBe(0);

    await page.getByRole("button", { name: "Follow the end" }).click();
    await lineOf(page, "third 59").waitFor();
    await trainer.finish();
  });

  test("of thirty thousand lines has only those in sight in the page, and all of them in the file", async () => {
    await stage.log(`
with epochal.init(project="logs", id="long") as run:
    for number in range(30_000):
        print(f"line {number:05d}" + (" needle" if number % 10_000 == 5 else ""))
`);
    const page = await stage.open("/local/logs/runs/long?tab=logs");
    await lineOf(page, "line 29999").waitFor();
    expect(await rowsOf(page).count()).toBeLessThan(200);
    await page.getByRole("log").focus();
    await page.keyboard.press("Home");
    await lineOf(page, "line 00000").waitFor();

    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download the whole log as text" }).click();
    const text = await readFile(await (await download).path(), "utf8");
    const lines = text
      .trimEnd()
      .split("\n")
      .filter((line) => line.startsWith("line "));
    expect(lines).toHaveLength(30_000);
    expect(lines.at(-1)).toBe("line 29999");
  });

  test("is searched in the lines that are loaded, says so, and in all of them when asked to", async () => {
    const page = await stage.open("/local/logs/runs/long?tab=logs");
    await lineOf(page, "line 29999").waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("line \\d+5 needle");
    await page.getByText(/^in [\d,]+ of 30,0\d\d lines$/).waitFor();
    await page.getByRole("button", { name: "Load all" }).click();
    await page.getByText("3 lines", { exact: true }).waitFor();

    await page.getByRole("textbox").press("Enter");
    await page.getByText("of 3 lines").waitFor();
    await page.getByRole("button", { name: "Only matches" }).click();
    await expect.poll(() => rowsOf(page).count()).toBe(3);
    expect(await page.locator(".ep-log mark").allTextContents()).toContain("line 00005 needle");
  });

  test("points at a line by its address", async () => {
    const page = await stage.open("/local/logs/runs/long?tab=logs");
    await lineOf(page, "line 29990").getByRole("button").click();
    await page.waitForURL(/line/);
    await page.goto(page.url());
    await page.locator('.ep-log-row[data-pointed="true"]').filter({ hasText: "line 29990" }).waitFor();
  });

  test("wraps long lines and shows times, from the keyboard", async () => {
    await stage.log(`
with epochal.init(project="logs", id="wide") as run:
    print("begin " + "x" * 3000 + " end")
    print("after it")
`);
    const page = await stage.open("/local/logs/runs/wide?tab=logs");
    await lineOf(page, "after it").waitFor();
    const heightOf = async () => (await lineOf(page, "begin").boundingBox())?.height ?? 0;
    const before = await heightOf();
    await page.keyboard.press("w");
    await expect.poll(heightOf).toBeGreaterThan(10 * before);
    await page.keyboard.press("t");
    await lineOf(page, "after it")
      .getByText(/^\d\d:\d\d:\d\d\.\d{3}$/)
      .waitFor();
  });

  test("of a run that printed nothing says so", async () => {
    await stage.log(`
with epochal.init(project="logs", id="quiet", settings=epochal.Settings(console="off")) as run:
    run.log({"loss": 1.0})
`);
    const page = await stage.open("/local/logs/runs/quiet?tab=logs");
    await page.getByRole("heading", { name: "Nothing was printed" }).waitFor();
  });
});
