import reactHooks from "eslint-plugin-react-hooks";
import tseslint from "typescript-eslint";

/** Who may import whom: a layer may import the layers that stand before it in its list. */
const layers = {
  base: [],
  wire: ["base"],
  data: ["base", "wire"],
  chart: ["base", "wire", "data"],
  ui: ["base"],
  panels: ["base", "wire", "data", "chart", "ui"],
  features: ["base", "wire", "data", "chart", "ui", "panels"],
  app: ["base", "wire", "data", "chart", "ui", "panels", "features"],
};

const names = Object.keys(layers);

/** Forbids what a layer may not import, by alias (`@/data/…`) and by relative path (`../data/…`). */
function layerRule(layer, allowed) {
  const forbidden = names.filter((name) => name !== layer && !allowed.includes(name));
  const patterns = [
    // A layer reaches another one only through the alias, so the rule sees it.
    { regex: `^(\\.\\./)+(${names.join("|")})(/|$)`, message: "Import another layer as @/layer/…" },
  ];
  if (forbidden.length > 0) {
    patterns.push({
      regex: `^@/(${forbidden.join("|")})(/|$)`,
      message: `${layer} may import only: ${allowed.join(", ") || "nothing"} (see eslint.config.js).`,
    });
  }
  return {
    files: [`src/${layer}/**/*.{ts,tsx}`],
    rules: { "no-restricted-imports": ["error", { patterns }] },
  };
}

/** Features meet in app, never in one another. */
function featureRule(feature) {
  return {
    files: [`src/features/${feature}/**/*.{ts,tsx}`],
    rules: {
      "no-restricted-imports": [
        "error",
        {
          patterns: [
            { regex: "^@/app(/|$)", message: "A feature does not know the app around it." },
            { regex: `^@/features/(?!${feature}(/|$))`, message: "Features never import each other." },
            { regex: "^(\\.\\./){1,}", message: "Import another layer as @/layer/…" },
          ],
        },
      ],
    },
  };
}

export default tseslint.config(
  { ignores: ["node_modules", "src/wire/*.gen.ts", "test-results"] },
  ...tseslint.configs.strictTypeChecked,
  ...tseslint.configs.stylisticTypeChecked,
  {
    languageOptions: {
      parserOptions: {
        projectService: { allowDefaultProject: ["eslint.config.js"] },
        tsconfigRootDir: import.meta.dirname,
      },
    },
    plugins: { "react-hooks": reactHooks },
    rules: {
      ...reactHooks.configs.recommended.rules,
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
      "react-hooks/incompatible-library": "off", // no compiler memoizes here
      "@typescript-eslint/only-throw-error": "off", // the router's redirect() is thrown
    },
  },
  ...Object.entries(layers).map(([layer, allowed]) => layerRule(layer, allowed)),
  ...["workspace", "run-page", "projects"].map(featureRule),
  { files: ["*.js"], ...tseslint.configs.disableTypeChecked },
);
