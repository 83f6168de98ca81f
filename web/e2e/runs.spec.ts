import { expect, test } from "vitest";

import { describeOnStage, panelOf, waitForNote } from "./harness";

const HOSTILE = `<img src=x onerror="window.hacked = 1">`;
const RUNS = `
for name in ("calm-field-1", "sunny-river-2", ${JSON.stringify(HOSTILE)}):
    run = epochal.init(project="runs", name=name)
    for step in range(10):
        run.log({"train/loss": 1 / (step + 1), "val/loss": 1.0, "<b>bold</b>": 0.5})
    run.finish()
`;

describeOnStage("the runs list", (stage) => {
  test("hides a run that is unticked, and the address remembers it", async () => {
    await stage.log(RUNS);
    const page = await stage.open("/local/runs");
    await waitForNote(page, "train/loss", "30 points, exact");

    await page.getByRole("checkbox", { name: "Draw calm-field-1" }).click();
    await waitForNote(page, "train/loss", "20 points, exact");

    await page.reload();
    await waitForNote(page, "train/loss", "20 points, exact");
    await page.getByRole("checkbox", { name: "Draw calm-field-1" }).click();
    await waitForNote(page, "train/loss", "30 points, exact");
  });

  test("is worked with arrows and space, and lights up the line of the run it comes to", async () => {
    const page = await stage.open("/local/runs");
    await waitForNote(page, "train/loss", "30 points, exact");

    await page.getByRole("listbox", { name: "Runs" }).focus();
    await page.keyboard.press("ArrowDown");
    await panelOf(page, "train/loss").locator(".ep-lines-dimmed").waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press(" ");

    await waitForNote(page, "train/loss", "20 points, exact");
  });

  test("finds runs by a regular expression, and draws those only", async () => {
    const page = await stage.open("/local/runs");
    await waitForNote(page, "train/loss", "30 points, exact");

    await page.getByLabel("Search runs").fill("^(calm|sunny)");
    await waitForNote(page, "train/loss", "20 points, exact");
    await page.getByText("2 of 2 runs drawn").waitFor();

    await page.getByLabel("Search runs").fill("no such run");
    await page.getByText("No run has that in its name or id.").waitFor();
  });

  test("folds away with [ and comes back", async () => {
    const page = await stage.open("/local/runs");
    const list = page.getByRole("listbox", { name: "Runs" });
    await list.waitFor();

    await page.keyboard.press("[");
    await list.waitFor({ state: "detached" });
    await page.keyboard.press("[");
    await list.waitFor();
  });
});

describeOnStage("names that people choose", (stage) => {
  test("are text and never markup, in the list, in titles and under the mouse", async () => {
    await stage.log(RUNS);
    const page = await stage.open("/local/runs");
    await waitForNote(page, "<b>bold</b>", "30 points, exact");

    await page.getByText(HOSTILE, { exact: true }).first().hover();
    const box = await panelOf(page, "<b>bold</b>").locator(".u-over").boundingBox();
    if (box === null) throw new Error("no plot");
    await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
    await page.locator(".ep-tooltip").getByText(HOSTILE).waitFor();

    expect(await page.evaluate(() => "hacked" in window)).toBe(false);
    expect(await page.locator("h3 b").count()).toBe(0);
  });
});

describeOnStage("panels", (stage) => {
  test("are found by a regular expression over their names", async () => {
    await stage.log(RUNS);
    const page = await stage.open("/local/runs");
    await waitForNote(page, "val/loss", /points/);

    await page.keyboard.press("/");
    await page.keyboard.type("^train/");

    await panelOf(page, "val/loss").waitFor({ state: "detached" });
    await panelOf(page, "train/loss").waitFor();
  });

  test("that are off screen are neither mounted nor fetched", async () => {
    await stage.log(`
run = epochal.init(project="many")
for step in range(3):
    run.log({f"section{i:03}/key": float(i) for i in range(300)})
run.finish()
`);
    const page = await stage.open("/");
    const keys = new Set<string>();
    page.on("request", (request) => {
      if (!request.url().endsWith("/api/series")) return;
      const { queries } = JSON.parse(request.postData() ?? "") as { queries: { keys: string[] }[] };
      for (const key of queries.flatMap((query) => query.keys)) keys.add(key);
    });

    await page.goto(`${stage.url}/local/many`);
    await waitForNote(page, "section000/key", "3 points, exact");

    expect(keys.size).toBeLessThan(20);
    await page.locator(".ep-board-scroll").evaluate((element) => element.scrollTo(0, element.scrollHeight));
    await waitForNote(page, "section299/key", "3 points, exact");
    expect(keys.size).toBeLessThan(60);
  });

  test("and runs are found from anywhere with the palette", async () => {
    const page = await stage.open("/local/runs");
    await waitForNote(page, "val/loss", /points/);

    await page.keyboard.press("Control+k");
    await page.getByRole("dialog", { name: "Search" }).waitFor();
    await page.keyboard.type("sunny-river");
    await page.getByRole("option", { name: /sunny-river-2 run/ }).waitFor();
    await page.keyboard.press("Enter");

    await page.waitForURL(/\/local\/runs\/runs\//);
  });
});
