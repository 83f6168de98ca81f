/** Light, dark, or as the system says; the choice is kept in this browser. */
import { createKeptStore } from "@/base/store";

export type Theme = "system" | "light" | "dark";

const THEMES: readonly unknown[] = ["system", "light", "dark"] satisfies Theme[];

/** The theme that was chosen. */
export const theme = createKeptStore<Theme>("epochal.theme", "system", (value): value is Theme =>
  THEMES.includes(value),
);

/** Puts the theme on the page, now and whenever the choice or the system changes. */
export function startTheme(): void {
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = theme.get();
    const isDark = chosen === "dark" || (chosen === "system" && system.matches);
    document.documentElement.dataset["theme"] = isDark ? "dark" : "light";
  };
  apply();
  theme.subscribe(apply);
  system.addEventListener("change", apply);
}
