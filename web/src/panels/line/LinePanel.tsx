import { use, useMemo } from "react";

import { countOf } from "@/base/format";
import { visibleText } from "@/base/text";
import { LineChart } from "@/chart/LineChart";
import type { PlotData } from "@/chart/LinePlot";
import { lineOf, type LineStyle, type Range, unshownOf, viewOf, xExtent } from "@/chart/lines";
import type { SeriesQuestion } from "@/data/seriesStore";
import { type ProjectRef, useServices } from "@/data/services";
import { useSeries } from "@/data/useSeries";
import { Failure, Progress } from "@/ui/messages";
import type { Series } from "@/wire/series";

import { axisLook, type BoardRun, type PanelSpec, panelX } from "../panelSpec";
import { PlotToolsContext } from "../plotTools";
import { useWidth } from "../useOnScreen";

/** How one panel is set, out of its board's state. */
export interface PanelSettings {
  readonly x: string;
  readonly smooth: number;
  readonly isLog: boolean;
  readonly zoom: Range | null;
}

export interface LinePanelProps {
  readonly project: ProjectRef;
  readonly panel: PanelSpec;
  readonly runs: readonly BoardRun[];
  readonly settings: PanelSettings;
  readonly onZoom: (range: Range | null) => void;
}

/** Asking for widths in steps keeps the answers when a window is resized a little. */
const WIDTH_STEP_PX = 64;

/** One metric of many runs as lines, as exact as the panel has pixels. */
export function LinePanel({ project, panel, runs, settings, onZoom }: LinePanelProps) {
  const { highlight } = useServices();
  const tools = use(PlotToolsContext);
  const [body, width] = useWidth<HTMLDivElement>();
  const asked = questionOf(panel, runs, settings, width, panelX(panel, settings.x));
  const { series, x, isLoading, error, retry } = useSeries(project, asked);
  // Of what is drawn, which for a moment is not yet what was asked for.
  const { kind, label } = axisLook(x);
  const data = useMemo(() => plotData(series, runs, settings), [series, runs, settings]);
  const hasPoints = data.lines.length > 0;
  return (
    <>
      <div className="ep-panel-body" ref={body}>
        <Progress isOn={isLoading} />
        {hasPoints && (
          <LineChart
            title={`${panel.key} over ${label.toLowerCase()}`}
            data={data}
            xKind={kind}
            xLabel={label}
            isLog={settings.isLog}
            cursorKey={JSON.stringify(x)}
            highlight={highlight}
            tools={tools}
            onZoom={onZoom}
            onHover={highlight.set}
          />
        )}
        {!hasPoints && !isLoading && error === undefined && (
          <p className="ep-panel-none">
            {settings.zoom === null ? "The runs shown have no points here." : "No points in this range."}
          </p>
        )}
        {error !== undefined && (
          <Failure title="This panel could not be loaded" error={error} onRetry={retry} />
        )}
      </div>
      <footer className="ep-panel-foot">
        {hasPoints && <PanelNotes data={data} over={overOf(panel, settings.x, label)} />}
      </footer>
    </>
  );
}

function questionOf(
  panel: PanelSpec,
  runs: readonly BoardRun[],
  settings: PanelSettings,
  width: number,
  x: SeriesQuestion["x"],
): SeriesQuestion {
  return {
    stream: panel.stream,
    keys: [panel.key],
    // Nothing is asked before the panel's width is known.
    runs: width === 0 ? [] : runs.map((run) => run.id),
    x,
    range: settings.zoom,
    buckets: Math.max(Math.ceil(width / WIDTH_STEP_PX), 2) * WIDTH_STEP_PX,
  };
}

function plotData(series: readonly Series[], runs: readonly BoardRun[], settings: PanelSettings): PlotData {
  const styles = new Map(runs.map((run) => [run.id, styleOf(run)]));
  const drawn = series.filter((each) => each.buckets.x.length > 0);
  const [low, high] = settings.zoom ?? xExtent(drawn) ?? [0, 1];
  const lines = drawn.flatMap((each) => {
    const style = styles.get(each.run);
    return style === undefined ? [] : [lineOf(each, style, settings.smooth, high - low)];
  });
  return {
    // The newest run first in the list is drawn last, on top.
    lines: lines.toReversed(),
    view: viewOf(lines, settings.zoom, settings.isLog),
    viewKey: JSON.stringify([settings.x, settings.zoom, settings.isLog, runs.map((run) => run.id)]),
  };
}

function styleOf({ id, label, color, dash, isAlive }: BoardRun): LineStyle {
  return { runId: id, label, color, dash, isAlive };
}

/** The x axis of a panel that has one of its own, whatever the board's is; "" for the others. */
function overOf(panel: PanelSpec, choice: string, label: string): string {
  return choice === "step" && panel.stepMetric !== null ? `over ${visibleText(label)}, ` : "";
}

interface PanelNotesProps {
  readonly data: PlotData;
  readonly over: string;
}

/** What the picture is made of: how many points, exact or not, and what no line can show. */
function PanelNotes({ data, over }: PanelNotesProps) {
  const { lines, view } = data;
  const nPoints = lines.reduce((sum, { series }) => sum + series.nPoints, 0);
  const isExact = lines.every(({ series }) => series.isExact);
  const { nNan, nInf, nNotPositive } = unshownOf(lines, view.isLog);
  return (
    <>
      <span className="ep-panel-unshown">
        {nNan > 0 && <span>{`${countOf(nNan, "NaN").replace(/s$/, "")} ×`}</span>}
        {nInf > 0 && <span>{`${countOf(nInf, "infinite value")} ▴▾`}</span>}
        {nNotPositive > 0 && (
          // Of a bucket it is known that its lowest point is there, not how many others are.
          <span>{`${isExact ? countOf(nNotPositive, "value") : "some values"} at or below 0`}</span>
        )}
      </span>
      <span>
        {over}
        {isExact ? `${countOf(nPoints, "point")}, exact` : `envelope of ${countOf(nPoints, "point")}`}
      </span>
    </>
  );
}
