import { type KeyboardEvent, useRef } from "react";

import { Icon, type IconName } from "@/ui/Icon";
import { useShortcut } from "@/ui/shortcuts";

import { RUN_TABS, type RunTab } from "./runPageState";

interface RunTabsProps {
  readonly tab: RunTab;
  readonly onChange: (tab: RunTab) => void;
}

const LOOKS: Readonly<Record<RunTab, { readonly word: string; readonly icon: IconName }>> = {
  overview: { word: "Overview", icon: "sliders" },
  charts: { word: "Charts", icon: "chart" },
  system: { word: "System", icon: "monitor" },
  logs: { word: "Logs", icon: "log" },
};

export const tabId = (tab: RunTab) => `run-tab-${tab}`;
export const tabPanelId = (tab: RunTab) => `run-tab-panel-${tab}`;

/** The tabs of a run's page: arrows where the focus is on them, 1 to 4 from anywhere. */
export function RunTabs({ tab, onChange }: RunTabsProps) {
  const list = useRef<HTMLDivElement>(null);
  useShortcut("1", "Overview", () => onChange("overview"));
  useShortcut("2", "Charts", () => onChange("charts"));
  useShortcut("3", "System", () => onChange("system"));
  useShortcut("4", "Logs", () => onChange("logs"));
  const handleKey = (event: KeyboardEvent) => {
    const move = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (move === undefined) return;
    event.preventDefault();
    const next = RUN_TABS.at((RUN_TABS.indexOf(tab) + move) % RUN_TABS.length) ?? tab;
    onChange(next);
    list.current?.querySelector<HTMLElement>(`#${tabId(next)}`)?.focus();
  };
  return (
    <div
      ref={list}
      className="ep-run-tabs"
      role="tablist"
      aria-label="Parts of the run"
      onKeyDown={handleKey}
    >
      {RUN_TABS.map((each) => (
        <button
          key={each}
          type="button"
          role="tab"
          id={tabId(each)}
          aria-selected={each === tab}
          aria-controls={each === tab ? tabPanelId(each) : undefined}
          tabIndex={each === tab ? 0 : -1}
          onClick={() => onChange(each)}
        >
          <Icon name={LOOKS[each].icon} />
          {LOOKS[each].word}
        </button>
      ))}
    </div>
  );
}
