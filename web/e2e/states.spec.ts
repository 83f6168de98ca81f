import { expect, test } from "vitest";

import { describeOnStage, panelOf, waitForNote } from "./harness";

describeOnStage("what the page says", (stage) => {
  test("where nothing is yet: the lines that would fill it, and where this server looks", async () => {
    const page = await stage.open("/local/nothing-here");

    await page.getByRole("heading", { name: /no project local\/nothing-here yet/ }).waitFor();
    await page.getByText('epochal.init(project="nothing-here")').waitFor();
    await page.getByRole("button", { name: "Copy" }).waitFor();
    await page.getByText("This server shows the runs in").waitFor();
  });

  test("where one panel fails: what, why and a retry, while the others go on", async () => {
    await stage.log(`
run = epochal.init(project="states")
for step in range(5):
    run.log({"good": 1.0, "bad": 2.0})
run.finish()
`);
    const page = await stage.open("/");
    let isBroken = true;
    await page.route("**/api/series", async (route) => {
      const isBad = (route.request().postData() ?? "").includes('"bad"');
      if (!isBad || !isBroken) return route.continue();
      const error = { code: "broken", message: "The disk is gone.", hint: "Look at the cable." };
      return route.fulfill({ status: 500, json: { error } });
    });
    // Over different axes, so that the two are asked for in different queries.
    const log = encodeURIComponent(JSON.stringify({ bad: [0, 100] }));
    await page.goto(`${stage.url}/local/states?zoom=${log}`);

    const bad = panelOf(page, "bad");
    await bad.getByText("This panel could not be loaded").waitFor();
    await bad.getByText("The disk is gone.").waitFor();
    await bad.getByText("Look at the cable.").waitFor();
    await waitForNote(page, "good", "5 points, exact");

    isBroken = false;
    await bad.getByRole("button", { name: "Try again" }).click();
    await waitForNote(page, "bad", "5 points, exact");
  });

  test("in the theme that was chosen, also after a reload", async () => {
    const page = await stage.open("/", { colorScheme: "light" });
    const theme = () => page.evaluate(() => document.documentElement.dataset["theme"]);
    expect(await theme()).toBe("light");

    await page.getByRole("button", { name: /^Theme: as the system/ }).click();
    await page.getByRole("button", { name: /^Theme: light/ }).click();
    expect(await theme()).toBe("dark");

    await page.reload();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
    expect(await theme()).toBe("dark");
  });

  test("about its keys, with ?", async () => {
    const page = await stage.open("/local/states");
    await waitForNote(page, "good", /points/);

    await page.keyboard.press("?");
    const sheet = page.getByRole("dialog", { name: "Keys" });
    await sheet.getByText("Fold or unfold the runs list").waitFor();
    await page.keyboard.press("Escape");
    await sheet.waitFor({ state: "detached" });
  });

  test("to a browser without a session: how to get a link", async () => {
    const page = await stage.open("/local/states", { storageState: { cookies: [], origins: [] } });

    await page.getByText("epochal link").first().waitFor();
  });
});
