import { useEffect, useRef } from "react";

import { IconButton } from "@/ui/Button";
import { Message } from "@/ui/messages";
import { useShortcut } from "@/ui/shortcuts";

import { PanelCard, type PanelCardProps } from "./PanelCard";
import type { PanelSpec } from "./panelSpec";

interface FullScreenProps extends Omit<PanelCardProps, "panel"> {
  /** All panels of the board, in the order in which the arrows go through them. */
  readonly panels: readonly PanelSpec[];
}

/** One panel as large as the window, at the resolution that brings. */
export function FullScreen({ panels, ...card }: FullScreenProps) {
  const { state, onChange } = card;
  const place = useRef<HTMLDivElement>(null);
  const at = panels.findIndex((panel) => panel.id === state.full);
  const panel = panels[at];
  const go = (by: number) => {
    const next = panels[(at + by + panels.length) % panels.length];
    if (next !== undefined) onChange({ full: next.id });
  };
  useShortcut("Escape", "Leave the full screen", () => onChange({ full: "" }));
  useShortcut("ArrowLeft", "Panel before (full screen)", () => go(-1));
  useShortcut("ArrowRight", "Next panel (full screen)", () => go(1));
  useEffect(() => place.current?.focus(), []);
  return (
    <div ref={place} className="ep-full" role="dialog" aria-modal aria-label={state.full} tabIndex={-1}>
      {panel === undefined ? (
        <Message title="There is no such panel">
          <p>No metric of the runs shown has this name.</p>
          <IconButton icon="minimise" label="Leave the full screen" onClick={() => onChange({ full: "" })} />
        </Message>
      ) : (
        <PanelCard key={panel.id} panel={panel} {...card} />
      )}
    </div>
  );
}
