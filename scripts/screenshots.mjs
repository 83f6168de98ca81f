// Takes the pictures of a running server: node screenshots.mjs SIGN-IN-LINK CHROMIUM FOLDER

import { createRequire } from "node:module";
import path from "node:path";

const [link, chromiumPath, folder] = process.argv.slice(2);
// The browser driver is the web app's; this script lies beside it and has no packages of its own.
const require = createRequire(new URL("../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const browser = await chromium.launch({
  executablePath: chromiumPath,
  args: ["--no-sandbox", "--disable-quic", "--disable-background-networking"],
});
try {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  await page.goto(link);
  const workspace = `${new URL(link).origin}/local/digits`;
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    await page.goto(workspace);
    await picture(`workspace-${theme}`);
    await page.locator('a[href*="/runs/"]').first().click();
    await page.getByRole("tab", { name: "Charts" }).click();
    await picture(`run-${theme}`);
  }

  /** Photograph the page once its charts are there and nothing is on its way. */
  async function picture(name) {
    await page.locator("canvas").first().waitFor({ timeout: 20_000 });
    await page.waitForTimeout(2000);
    await page.screenshot({ path: path.join(folder, `${name}.png`) });
    console.log(`${name}.png`);
  }
} finally {
  await browser.close();
}
