import { performance } from "node:perf_hooks";

import type { Page } from "playwright-core";
import { expect, test } from "vitest";

import { describeOnStage, waitForNote } from "./harness";

const TRAINER = `
run = epochal.init(project="live", name="sunny-river-1")
for line in sys.stdin:
    run.log({"loss": float(line)})
    print("logged")
run.finish()
`;

describeOnStage("a run that is being logged", (stage) => {
  test("its rows come to the open page by themselves", async () => {
    const trainer = stage.train(TRAINER);
    await trainer.tell("0.9");
    const page = await stage.open("/");
    await page.getByText("live", { exact: true }).first().waitFor();
    await page.goto(`${stage.url}/local/live`);
    await waitForNote(page, "loss", "1 point, exact");

    const seconds: number[] = [];
    for (const value of [2, 3, 4, 5]) {
      await trainer.tell(String(1 / value));
      const start = performance.now();
      await waitForNote(page, "loss", `${value} points, exact`);
      seconds.push((performance.now() - start) / 1000);
    }
    console.info(`from log() to the page: ${seconds.map((s) => `${s.toFixed(2)} s`).join(", ")}`);

    await page.getByRole("option", { name: /sunny-river-1.*running/ }).waitFor();
    await trainer.finish();
    await page
      .getByRole("option", { name: /sunny-river-1/ })
      .locator('[title^="finished"]')
      .waitFor();
    expect(seconds).toHaveLength(4);
  });

  test("a tab that nobody sees holds no connection, and catches up when it is looked at", async () => {
    const trainer = stage.train(TRAINER.replace("sunny-river-1", "calm-field-2").replace('"live"', '"tabs"'));
    await trainer.tell("0.9");
    const page = await stage.open("/local/tabs");
    await waitForNote(page, "loss", "1 point, exact");
    const closed = page.waitForEvent("requestfailed", (request) => request.url().includes("/api/live"));

    await setHidden(page, true);
    await closed;
    await trainer.tell("0.5");
    await setHidden(page, false);

    await waitForNote(page, "loss", "2 points, exact");
    await trainer.finish();
  });
});

/** Headless tabs are always visible: the page is told what a browser would tell it. */
async function setHidden(page: Page, isHidden: boolean): Promise<void> {
  await page.evaluate((hidden) => {
    Object.defineProperty(document, "hidden", { configurable: true, value: hidden });
    document.dispatchEvent(new Event("visibilitychange"));
  }, isHidden);
}
