import { expect, test } from "vitest";

import { describeOnStage, panelOf, type Stage, waitForNote } from "./harness";

const HOSTILE = '<img src=x onerror="document.title=1"> ';
const RIGHT_TO_LEFT = "\u05d0\u05d1\u05d2\u05d3".repeat(32);

const TRAINER = `
run = epochal.init(project="runs", id="live-run", config={"lr": 0.1})
for line in sys.stdin:
    run.log({"loss": float(line)})
    print("logged")
run.finish()
`;

/** Opens a page that reads the clipboard too. */
const openWithClipboard = (stage: Stage, path: string) =>
  stage.open(path, { permissions: ["clipboard-read", "clipboard-write"] });

describeOnStage("a run's page", (stage) => {
  test("shows what went in and what came out, nested, and NaN as such", async () => {
    await stage.log(`
config = {"lr": 0.123456789, "model": {"depth": 3, "act": "gelu"}, "seed": 9007199254740993}
with epochal.init(project="runs", id="values", name="sunny", tags=["a-tag"], group="g1", config=config) as run:
    run.log({"loss": float("nan"), "acc": 0.987654321})
`);
    const page = await openWithClipboard(stage, "/local/runs/runs/values");
    const config = page.getByRole("region", { name: "Config" });
    await page.getByRole("heading", { name: "sunny" }).waitFor();
    await page.getByText("finished").first().waitFor();
    await page.getByText("a-tag", { exact: true }).waitFor();
    await config.getByText("0.1235").waitFor();
    await config.getByText("depth").waitFor();
    await config.getByText("9007199254740993").waitFor();
    await page.getByRole("region", { name: "Summary" }).getByText("NaN").waitFor();

    await config.getByText("0.1235").hover();
    await config.getByRole("button", { name: "Copy lr" }).click();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("0.123456789");
  });

  test("copies what is selected in full, whatever was rounded on the screen", async () => {
    const page = await openWithClipboard(stage, "/local/runs/runs/values");
    const tree = page.getByRole("tree", { name: /^Config/ });
    await tree.getByText("gelu").waitFor();
    await tree.evaluate((element) => getSelection()?.selectAllChildren(element));
    await page.keyboard.press("Control+c");
    const copied = await page.evaluate(() => navigator.clipboard.readText());
    expect(copied.split("\n")).toEqual([
      "lr\t0.123456789",
      "model.depth\t3",
      "model.act\tgelu",
      "seed\t9007199254740993",
    ]);
  });

  test("finds a value by a part of its key, and the address shows it again", async () => {
    const page = await stage.open("/local/runs/runs/values");
    await page.getByRole("textbox", { name: "Search config" }).fill("act");
    const config = page.getByRole("region", { name: "Config" });
    await config.getByText("depth").waitFor({ state: "detached" });

    await page.goto(page.url());

    await config.getByText("gelu").waitFor();
    expect(await config.getByText("depth").count()).toBe(0);
  });

  test("folds and unfolds from the keyboard", async () => {
    const page = await stage.open("/local/runs/runs/values");
    const tree = page.getByRole("tree", { name: /^Config/ });
    await tree.getByText("depth").waitFor();
    await tree.focus();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowLeft");
    await tree.getByText("depth").waitFor({ state: "detached" });
    await page.keyboard.press("ArrowRight");
    await tree.getByText("depth").waitFor();
  });

  test("tells first how a run failed: exit code and traceback", async () => {
    const failing = stage.log(`
run = epochal.init(project="runs", id="failing")
run.log({"loss": 1.0})
raise ValueError("the lake is frozen")
`);
    await expect(failing).rejects.toThrow("the lake is frozen");
    const page = await stage.open("/local/runs/runs/failing");

    const end = page.getByRole("region", { name: "How it ended" });
    await end.getByRole("heading", { name: "Failed with exit code 1" }).waitFor();
    await end.getByText("ValueError: the lake is frozen").waitFor();
    await end.getByRole("button", { name: "Read the log" }).click();
    await page.waitForURL("**/failing?tab=logs");
  });

  test("is live: values, state and duration change on the open page", async () => {
    const trainer = stage.train(TRAINER);
    await trainer.tell("0.75");
    const page = await stage.open("/local/runs/runs/live-run");
    await page.getByText("Running for").waitFor();
    const summary = page.getByRole("region", { name: "Summary" });
    await summary.getByText("0.75").waitFor();

    await trainer.tell("0.25");
    await summary.getByText("0.25").waitFor();

    await trainer.finish();
    await page.getByText("Ran for").waitFor();
    await page.getByText("finished").first().waitFor();
  });

  test("has its charts, and the hardware's by names a person reads", async () => {
    const page = await stage.open("/local/runs/runs/live-run");
    await page.getByRole("tab", { name: "Overview" }).waitFor();
    await page.keyboard.press("2");
    await waitForNote(page, "loss", "2 points, exact");

    await page.keyboard.press("3");
    await panelOf(page, "cpu").getByRole("heading", { name: "CPU use of the run, %" }).waitFor();
    await page.goto(page.url());
    await page.getByRole("tab", { name: "System", selected: true }).waitFor();
  });

  test("shows names, tags and values of any kind as text", async () => {
    await stage.log(`
for index, name in enumerate([${JSON.stringify(HOSTILE)}, ${JSON.stringify(RIGHT_TO_LEFT)}]):
    config = {name: name}
    with epochal.init(project="runs", id=f"hostile-{index}", name=name, tags=[name[:64]], config=config) as run:
        run.log({name: 1.0})
`);
    for (const [index, name] of [HOSTILE.trim(), RIGHT_TO_LEFT].entries()) {
      const page = await stage.open(`/local/runs/runs/hostile-${index}`);
      await page.getByRole("heading", { level: 1, name: name.slice(0, 40) }).waitFor();
      expect(await page.title()).not.toBe("1");
      expect(await page.locator("main img").count()).toBe(0);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      expect(overflow).toBeLessThanOrEqual(0);
    }
  });

  test("stays quick with ten thousand settings: only those in sight are in the page", async () => {
    await stage.log(`
config = {f"key_{i}": i / 7 for i in range(10_000)}
with epochal.init(project="runs", id="many", config=config) as run:
    run.log({"loss": 1.0})
`);
    const page = await stage.open("/local/runs/runs/many");
    const config = page.getByRole("region", { name: "Config" });
    await config.getByText("10,000 values").waitFor();
    expect(await config.getByRole("treeitem").count()).toBeLessThan(120);

    await config.getByRole("textbox").fill("key_9999");
    await config.getByText("1,428").or(config.getByText("1428")).waitFor();
    await config.getByRole("tree").focus();
    expect(await config.getByRole("treeitem").count()).toBe(1);
  });

  test("tells honestly what of a damaged run log could not be read", async () => {
    await stage.log(`
import os, shutil, tempfile, time
from pathlib import Path
from epochal.base.home import home
from epochal.runlog.folder import default_runs_folder, new_run_folder
from epochal.runlog.format import Header, RecordType
from epochal.runlog.writer import RunLogWriter

now = time.time()
elsewhere = Path(tempfile.mkdtemp(dir="."))
folder = new_run_folder(elsewhere, "damaged", mode="online", now=now)
header = Header(run_id="damaged", project="runs", entity=None, writer="abcdefgh", kind="primary", start_time=now)
log = RunLogWriter(folder / "abcdefgh.runlog", header)
sizes = []
for step in range(20):
    log.record(RecordType.ROW, step, {"loss": 1.0 / (1 + step)})
    log.flush(5)
    sizes.append(log.size)
log.close()
content = bytearray((folder / "abcdefgh.runlog").read_bytes())
content[sizes[9] + 12] ^= 0xFF
(folder / "abcdefgh.runlog").write_bytes(content)
runs = default_runs_folder(home(os.environ))
shutil.move(folder, runs / folder.name)
`);
    const page = await stage.open("/local/runs/runs/damaged");
    const damage = page.getByRole("region", { name: "Damage" });
    await damage.getByText("of this run could not be read").waitFor();
    await damage.getByText("abcdefgh").waitFor();
    await page.keyboard.press("2");
    await waitForNote(page, "loss", "19 points, exact");
  });

  test("that does not exist says so, and leads on", async () => {
    const page = await stage.open("/local/runs/runs/nobody");
    await page.getByRole("heading", { name: "There is no such run" }).waitFor();
    await page.getByRole("link", { name: "Open the project" }).click();
    await page.waitForURL("**/local/runs");

    await page.goto(`${stage.url}/local/no-project/runs/nobody`);
    await page.getByRole("heading", { name: "There is no such run" }).waitFor();
  });
});
