import { useMemo } from "react";

import { own } from "@/base/own";
import { visibleName } from "@/base/text";
import type { Range } from "@/chart/lines";
import type { ProjectRef } from "@/data/services";
import { IconButton } from "@/ui/Button";
import { ErrorBoundary } from "@/ui/ErrorBoundary";
import { Failure } from "@/ui/messages";

import type { BoardState } from "./boardState";
import { PANEL_KINDS } from "./kinds";
import type { PanelSettings } from "./line/LinePanel";
import type { BoardRun, PanelSpec } from "./panelSpec";
import { useOnScreen } from "./useOnScreen";

export interface PanelCardProps {
  readonly project: ProjectRef;
  readonly panel: PanelSpec;
  readonly runs: readonly BoardRun[];
  readonly state: BoardState;
  readonly onChange: (change: Partial<BoardState>) => void;
  /** The mouse or the focus has come to this panel. */
  readonly onPoint?: (panelId: string) => void;
}

/** A metric may be called "" or " ". */
const NO_NAME = "(no name)";
/** How far beyond the screen panels are made ready. */
const NEAR_PX = 240;

/** One panel with its title and its buttons; while it is off screen, the space it takes. */
export function PanelCard({ project, panel, runs, state, onChange, onPoint }: PanelCardProps) {
  const [card, isOnScreen] = useOnScreen<HTMLElement>(NEAR_PX);
  const Kind = PANEL_KINDS[panel.type];
  const isLog = state.log.includes(panel.id);
  const zoom = own(state.zoom, panel.id) ?? null;
  const isFull = state.full === panel.id;
  const settings = useSettings(state, isLog, zoom);
  const setZoom = (range: Range | null) => onChange({ zoom: withZoom(state.zoom, panel.id, range) });
  const setLog = () =>
    onChange({ log: isLog ? state.log.filter((id) => id !== panel.id) : [...state.log, panel.id] });
  return (
    <article
      ref={card}
      className="ep-panel"
      aria-label={panel.key}
      tabIndex={-1}
      onMouseEnter={() => onPoint?.(panel.id)}
      onFocus={() => onPoint?.(panel.id)}
    >
      <header className="ep-panel-head">
        <h3 title={panel.key}>{visibleName(panel.title ?? panel.key, NO_NAME)}</h3>
        <div className="ep-panel-tools" data-kept={isLog || zoom !== null}>
          {zoom !== null && (
            <IconButton
              icon="reset"
              label="Show the whole range (double click)"
              onClick={() => setZoom(null)}
            />
          )}
          <button
            type="button"
            className="ep-icon-button ep-log-button"
            aria-pressed={isLog}
            title="Logarithmic y axis"
            onClick={setLog}
          >
            log
          </button>
          <IconButton
            icon={isFull ? "minimise" : "maximise"}
            label={isFull ? "Leave the full screen (Escape)" : "Fill the screen (f)"}
            onClick={() => onChange({ full: isFull ? "" : panel.id })}
          />
        </div>
      </header>
      {isOnScreen && Kind !== undefined && (
        <ErrorBoundary
          fallback={(error, retry) => <Failure title="This panel failed" error={error} onRetry={retry} />}
        >
          <Kind project={project} panel={panel} runs={runs} settings={settings} onZoom={setZoom} />
        </ErrorBoundary>
      )}
    </article>
  );
}

/** The same object for the same settings, so that a chart is made anew only for a change of its own. */
function useSettings({ x, smooth }: BoardState, isLog: boolean, zoom: Range | null): PanelSettings {
  const low = zoom?.[0];
  const high = zoom?.[1];
  return useMemo(
    () => ({ x, smooth, isLog, zoom: low === undefined || high === undefined ? null : [low, high] }),
    [x, smooth, isLog, low, high],
  );
}

function withZoom(all: BoardState["zoom"], panelId: string, range: Range | null): BoardState["zoom"] {
  const others = Object.entries(all).filter(([id]) => id !== panelId);
  return Object.fromEntries(range === null ? others : [...others, [panelId, range] as const]);
}
