import { useRef } from "react";

import { searchFor } from "@/base/search";
import { IconButton } from "@/ui/Button";
import { SearchBox, Select, Slider } from "@/ui/fields";
import { useShortcut } from "@/ui/shortcuts";

import type { BoardState } from "./boardState";

interface BoardToolbarProps {
  readonly state: BoardState;
  readonly onChange: (change: Partial<BoardState>) => void;
  /** Metrics that can stand as the x axis. */
  readonly xKeys: readonly string[];
  /** Whether any panel has steps; system metrics have only times. */
  readonly hasSteps: boolean;
}

/** More would make a menu that nobody reads; any other metric can be named in the address. */
const MAX_X_KEYS = 200;

const FIXED = [
  { value: "step", text: "Step" },
  { value: "relative", text: "Relative time" },
  { value: "time", text: "Wall time" },
];

const asOption = (key: string) => ({ value: `key:${key}`, text: key });

/** What holds for all panels of a board: which are shown, over which x axis, how smooth. */
export function BoardToolbar({ state, onChange, xKeys, hasSteps }: BoardToolbarProps) {
  const search = useRef<HTMLInputElement>(null);
  useShortcut("/", "Search panels", () => search.current?.focus());
  const chosen = state.x.startsWith("key:") ? state.x.slice(4) : null;
  const keys = xKeys.slice(0, MAX_X_KEYS);
  if (chosen !== null && !keys.includes(chosen)) keys.unshift(chosen);
  return (
    <div className="ep-board-bar" role="toolbar" aria-label="Panels">
      <SearchBox
        ref={search}
        value={state.panels}
        placeholder="Search panels"
        shortcut="/"
        problem={searchFor(state.panels).problem}
        onChange={(panels) => onChange({ panels, page: {} })}
      />
      <Select
        label="x axis"
        value={state.x}
        // A zoom is in units of x, so it ends with its axis.
        onChange={(x) => onChange({ x, zoom: {} })}
        groups={[
          { options: hasSteps ? FIXED : FIXED.filter(({ value }) => value !== "step") },
          ...(keys.length === 0 ? [] : [{ title: "Metrics", options: keys.map(asOption) }]),
        ]}
      />
      <Slider
        label="Smoothing"
        value={state.smooth}
        max={0.99}
        step={0.01}
        text={state.smooth === 0 ? "off" : state.smooth.toFixed(2)}
        onChange={(smooth) => onChange({ smooth })}
      />
      {Object.keys(state.zoom).length > 0 && (
        <IconButton
          icon="reset"
          label="Show the whole range in all panels"
          onClick={() => onChange({ zoom: {} })}
        />
      )}
    </div>
  );
}
