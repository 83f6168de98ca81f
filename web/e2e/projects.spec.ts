import { expect, test } from "vitest";

import { FIRST_RUN } from "@/features/projects/firstRun";

import { describeOnStage } from "./harness";

const LOG_ONE = (project: string) => `
with epochal.init(project=${JSON.stringify(project)}) as run:
    run.log({"loss": 0.5})
`;

describeOnStage("the list of projects", (stage) => {
  test("says how to begin where there is nothing, and fills by itself", async () => {
    const page = await stage.open("/", { permissions: ["clipboard-read", "clipboard-write"] });
    await page.getByRole("heading", { name: "No runs yet" }).waitFor();
    await page.getByText("Runs are picked up from").waitFor();
    await page.getByRole("button", { name: "Copy" }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toContain("import epochal as wandb");

    await stage.log(LOG_ONE("first"));

    await page.getByRole("row", { name: /local \/ ?first/ }).waitFor();
  });

  test("the lines that it offers log a run as they stand", async () => {
    const page = await stage.open("/");
    await stage.log(FIRST_RUN);
    await page.getByRole("row", { name: /first-steps/ }).waitFor();
  });

  test("shows which of them have a run going on, as it begins and ends", async () => {
    const page = await stage.open("/");
    const trainer = stage.train(`
run = epochal.init(project="going-on")
for line in sys.stdin:
    run.log({"loss": 0.5})
    print("logged")
run.finish()
`);
    await trainer.tell("log");
    const row = page.getByRole("row", { name: /going-on/ });
    await row.getByText("1 running").waitFor();

    await trainer.finish();

    await row.getByText("1 running").waitFor({ state: "detached" });
  });

  test("is searched and sorted, and its address shows the same list again", async () => {
    await stage.log(LOG_ONE("second"));
    const page = await stage.open("/");
    await page.getByRole("row", { name: /second/ }).waitFor();
    await page.keyboard.press("/");
    await page.keyboard.type("^local/(first|second)$");
    await page.getByRole("row", { name: /going-on/ }).waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Project", exact: true }).click();

    await page.goto(page.url());

    await page.getByRole("row", { name: /second/ }).waitFor();
    const rows = await page.getByRole("row").allInnerTexts();
    expect(rows.slice(1).map((text) => /first|second|going-on/.exec(text)?.[0])).toEqual(["first", "second"]);
  });

  test("is walked with the arrows, and Enter opens a project", async () => {
    const page = await stage.open("/?order=name");
    await page.getByRole("row", { name: /second/ }).waitFor();
    await page.getByRole("grid").focus();
    // first, first-steps, going-on
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");

    await page.waitForURL("**/local/going-on");
  });

  test("says what failed and why, and tries again when asked to", async () => {
    const page = await stage.open("/");
    let isBroken = true;
    await page.route("**/graphql", (route) => {
      if (!isBroken) return route.continue();
      return route.fulfill({
        status: 500,
        json: { error: { code: "broken", message: "The disk is full.", hint: "Make room." } },
      });
    });
    await page.reload();
    await page.getByText("The projects cannot be listed").waitFor();
    await page.getByText("The disk is full.").waitFor();
    await page.getByText("Make room.").waitFor();

    isBroken = false;
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByRole("row", { name: /second/ }).waitFor();
  });
});
