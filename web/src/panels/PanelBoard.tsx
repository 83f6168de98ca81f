import "./panels.css";

import { type ReactNode, use, useMemo, useRef } from "react";

import { searchFor } from "@/base/search";
import type { ProjectRef } from "@/data/services";
import { Message } from "@/ui/messages";
import { useShortcut } from "@/ui/shortcuts";

import { BoardToolbar } from "./BoardToolbar";
import type { BoardState } from "./boardState";
import { FullScreen } from "./FullScreen";
import { type BoardRun, boardSections, type PanelSpec } from "./panelSpec";
import { PanelSection } from "./PanelSection";
import { PlotToolsContext } from "./plotTools";
import { PANEL_KINDS } from "./kinds";
import { useWidth } from "./useOnScreen";

interface PanelBoardProps {
  readonly project: ProjectRef;
  /** All panels there could be; the board leaves out kinds it cannot draw and what the search leaves out. */
  readonly panels: readonly PanelSpec[];
  /** The runs to draw, in the order of their list; the same array until something changes. */
  readonly runs: readonly BoardRun[];
  readonly state: BoardState;
  readonly onChange: (change: Partial<BoardState>) => void;
  /** It is not known yet which panels there are. */
  readonly isLoading?: boolean;
  /** Stands above the sections, such as a notice that not all runs are drawn. */
  readonly notice?: ReactNode;
}

/** A panel is at least about so wide, with the gap beside it. */
const COLUMN_PX = 330;

/** All panels of a page in sections, with the bar that rules them. */
export function PanelBoard(props: PanelBoardProps) {
  const { project, panels, runs, state, onChange, isLoading = false, notice } = props;
  const [board, width] = useWidth<HTMLDivElement>();
  const { tooltip } = use(PlotToolsContext);
  const pointed = useRef("");
  const drawable = useMemo(() => panels.filter((panel) => PANEL_KINDS[panel.type] !== undefined), [panels]);
  const search = useMemo(() => searchFor(state.panels), [state.panels]);
  const sections = useMemo(() => boardSections(drawable, search), [drawable, search]);
  const xKeys = useMemo(
    () => drawable.filter((panel) => panel.stream === "history").map((panel) => panel.key),
    [drawable],
  );
  const hasSteps = drawable.some((panel) => panel.stream === "history");
  useShortcut("f", "Let the panel under the mouse fill the screen", () => {
    onChange({ full: state.full === "" ? pointed.current : "" });
  });
  useShortcut("c", "Copy the values under the mouse", () => {
    const text = tooltip.text();
    if (text !== null) void navigator.clipboard.writeText(text);
  });
  const card = { project, runs, state, onChange };
  return (
    <div className="ep-board">
      <BoardToolbar state={state} onChange={onChange} xKeys={xKeys} hasSteps={hasSteps} />
      <div className="ep-board-scroll" ref={board}>
        {notice}
        {isLoading && <Skeleton nColumns={columnsFor(width)} />}
        {width > 0 &&
          sections.map((section) => (
            <PanelSection
              key={section.name}
              section={section}
              nColumns={columnsFor(width)}
              isFolded={state.fold.includes(section.name)}
              onPoint={(panelId) => {
                pointed.current = panelId;
              }}
              {...card}
            />
          ))}
        {sections.length === 0 && drawable.length > 0 && (
          <Message title="No panel has that in its name">
            <p>
              The search looks for text, or for a regular expression such as <code>^train/.*loss</code>.
            </p>
          </Message>
        )}
      </div>
      {state.full !== "" && <FullScreen panels={sections.flatMap((section) => section.keys)} {...card} />}
    </div>
  );
}

function columnsFor(width: number): number {
  return Math.min(Math.max(Math.floor(width / COLUMN_PX), 1), 6);
}

/** The room of the first panels, for the one time that nothing is known about them. */
function Skeleton({ nColumns }: { readonly nColumns: number }) {
  return (
    <div className="ep-section-body ep-skeleton" data-columns={nColumns} aria-hidden>
      {Array.from({ length: nColumns * 2 }, (_, index) => (
        <div key={index} className="ep-panel" />
      ))}
    </div>
  );
}
