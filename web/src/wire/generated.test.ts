import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { expect, test } from "vitest";

import { generateTypes } from "../../scripts/generateTypes";

const read = (path: string) => readFileSync(fileURLToPath(new URL(path, import.meta.url)), "utf8");

test("the committed types are those of the schema and the operations (else: npm run generate)", async () => {
  const schema = read("../../../src/epochal/server/graphql/schema.graphql");

  const types = generateTypes(schema, read("operations.graphql"));

  await expect(types).toMatchFileSnapshot("operations.gen.ts");
});
