import { expect, test } from "vitest";

import { describeOnStage, panelOf, plotBox, SOON_MS, waitForNote } from "./harness";

const RUNS = `
for name, level in (("calm-field-1", 1.0), ("sunny-river-2", 2.0)):
    run = epochal.init(project="charts", name=name)
    for step in range(20_000):
        row = {"level": level, "spike": 100.0 if step == 7777 else level}
        if step % 1000 == 0:
            row["odd"] = float("nan") if step == 3000 else float("inf") if step == 5000 else level
        run.log(row)
    run.log({"once": level})
    run.finish()
`;

/** The range of the newest request for series, as soon as one with a range goes out. */
const hasRange = (body: string | null) => (body ?? "").includes('"range":[');

describeOnStage("charts", (stage) => {
  test("of long runs are an envelope that says how many points it stands for", async () => {
    await stage.log(RUNS);
    const page = await stage.open("/local/charts");

    await waitForNote(page, "level", "envelope of 40,000 points");
  });

  test("are read again, finer, for the range that is dragged over, and whole after a double click", async () => {
    const page = await stage.open("/local/charts");
    await waitForNote(page, "spike", "envelope of 40,000 points");
    const { x, y, width, height } = await plotBox(page, "spike");

    const refined = page.waitForRequest((request) => hasRange(request.postData()));
    await page.mouse.move(x + width * 0.38, y + height / 2);
    await page.mouse.down();
    await page.mouse.move(x + width * 0.4, y + height / 2, { steps: 3 });
    await page.mouse.up();
    const asked = JSON.parse((await refined).postData() ?? "") as { queries: { range: [number, number] }[] };

    const [low, high] = asked.queries[0]?.range ?? [0, 0];
    expect(low).toBeGreaterThan(7000);
    expect(high).toBeLessThan(8500);
    await waitForNote(page, "spike", /envelope of (\d{3}|1,\d{3}) points/);
    expect(page.url()).toContain("zoom=");

    await page.mouse.dblclick(x + width / 2, y + height / 2);
    await waitForNote(page, "spike", "envelope of 40,000 points");
    expect(page.url()).not.toContain("zoom=");
  });

  test("show the same zoom to whoever opens their address", async () => {
    const zoom = encodeURIComponent(JSON.stringify({ level: [100, 199] }));
    const page = await stage.open(`/local/charts?zoom=${zoom}`);

    await waitForNote(page, "level", "200 points, exact");
  });

  test("tell the values under the mouse, highest first, beside the point and not over it", async () => {
    const page = await stage.open("/local/charts");
    await waitForNote(page, "level", /envelope/);
    const { x, y, width, height } = await plotBox(page, "level");
    const at = { x: x + width / 2, y: y + height * 0.2 };

    await page.mouse.move(at.x - 5, at.y);
    await page.mouse.move(at.x, at.y);
    const tooltip = page.locator(".ep-tooltip");
    await tooltip.waitFor();

    expect(await tooltip.locator(".ep-tooltip-row span").allTextContents()).toEqual([
      "sunny-river-2",
      "calm-field-1",
    ]);
    expect(await tooltip.locator(".ep-tooltip-near span").textContent()).toBe("sunny-river-2");
    const box = await tooltip.boundingBox();
    expect(box === null || box.x > at.x || box.x + box.width < at.x).toBe(true);
    // The same run is lit up in the list.
    await page.locator('.ep-run-row[data-lit="true"]', { hasText: "sunny-river-2" }).waitFor();
  });

  test("have a logarithmic axis over any range of values, and the page goes on", async () => {
    await stage.log(`
run = epochal.init(project="scales", name="wide")
for step in range(200):
    run.log({"decades": 10.0 ** (step / 10), "half": 3.1 + step / 1000, "tiny": 1e-12 * step,
             "huge": 1e306 * (step / 2 + 1), "close": 1e17 + 16 * (step % 3)})
run.finish()
`);
    const keys = ["decades", "half", "tiny", "huge", "close"];
    const log = encodeURIComponent(JSON.stringify(keys));
    for (const address of ["/local/scales", `/local/scales?log=${log}`]) {
      const page = await stage.open(address);
      for (const key of keys) await waitForNote(page, key, "200 points, exact");
      // An axis whose ticks never end would keep the page from ever answering.
      expect(await page.title()).toBe("scales · Epochal");
      await page.context().close();
    }
  });

  test("say over what they are drawn where that is not the axis chosen for all", async () => {
    await stage.log(`
run = epochal.init(project="axes", name="epochs")
run.define_metric("accuracy", step_metric="epoch")
for epoch in range(5):
    run.log({"epoch": epoch, "accuracy": epoch / 5, "constructor/loss": epoch})
run.finish()
`);
    const page = await stage.open("/local/axes");

    await waitForNote(page, "accuracy", "over epoch, 5 points, exact");
    await waitForNote(page, "epoch", /^5 points, exact$/);
    await waitForNote(page, "constructor/loss", "5 points, exact");
  });

  test("count what no line can show, and show what was logged once", async () => {
    const page = await stage.open("/local/charts");

    await waitForNote(page, "odd", "2 NaN");
    await waitForNote(page, "odd", "2 infinite values");
    await waitForNote(page, "once", "2 points, exact");
    const hasInk = await panelOf(page, "once")
      .locator(".ep-lines")
      .evaluate((element) => {
        const canvas = element as HTMLCanvasElement;
        const pixels = canvas.getContext("2d")?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
        return pixels.some((value, index) => index % 4 === 3 && value > 0);
      });
    expect(hasInk).toBe(true);
  });

  test("fill the screen with f, and Escape brings the board back", async () => {
    const page = await stage.open("/local/charts");
    await waitForNote(page, "level", /envelope/);

    await panelOf(page, "level").hover();
    await page.keyboard.press("f");
    const full = page.getByRole("dialog", { name: "level" });
    await full.getByText(/envelope of 40,000/).waitFor();
    expect(page.url()).toContain("full=level");
    const width = await full.locator(".u-over").evaluate((element) => element.clientWidth);
    expect(width).toBeGreaterThan(1200);

    await page.keyboard.press("Escape");
    await full.waitFor({ state: "detached" });
  });

  test("are drawn over another metric or over time when the x axis is changed", async () => {
    const page = await stage.open("/local/charts");
    await waitForNote(page, "level", /envelope/);

    const asked = page.waitForRequest((request) => (request.postData() ?? "").includes('"x":"relative"'));
    await page.getByLabel("x axis").selectOption("relative");
    await asked;
    await waitForNote(page, "level", /envelope of 40,000/);
    expect(page.url()).toContain("x=relative");
  });

  test("go back one change with z", async () => {
    const page = await stage.open("/local/charts");
    await waitForNote(page, "level", /envelope/);
    await page.getByLabel("x axis").selectOption("relative");
    await page.waitForURL(/x=relative/);

    await page.locator(".ep-board-scroll").click({ position: { x: 5, y: 5 } });
    await page.keyboard.press("z");

    await page.waitForURL((url) => !url.search.includes("x="), { timeout: SOON_MS });
  });
});
