import "uplot/dist/uPlot.min.css";
import "./chart.css";

import { useEffect, useRef } from "react";

import type { ReadableStore } from "@/base/store";

import type { XKind } from "./axes";
import { LinePlot, type PlotData, type PlotTools } from "./LinePlot";
import type { Range } from "./lines";

interface LineChartProps {
  readonly title: string;
  readonly data: PlotData;
  readonly xKind: XKind;
  readonly xLabel: string;
  readonly isLog: boolean;
  /** Charts with the same key share one crosshair. */
  readonly cursorKey: string;
  /** The run that stands out; moving the mouse renders nothing in React. */
  readonly highlight: ReadableStore<string | null>;
  readonly tools: PlotTools;
  readonly onZoom: (range: Range | null) => void;
  readonly onHover: (runId: string | null) => void;
}

/** Draws lines.  React decides which lines exist; drawing, hovering and resizing are the plot's. */
export function LineChart(props: LineChartProps) {
  const { title, data, xKind, xLabel, isLog, cursorKey, highlight, tools } = props;
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<LinePlot | undefined>(undefined);
  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });
  useEffect(() => {
    const element = host.current;
    if (element === null) return;
    const made = new LinePlot(
      element,
      {
        xKind,
        xLabel,
        isLog,
        cursorKey,
        onZoom: (range) => latest.current.onZoom(range),
        onHover: (runId) => latest.current.onHover(runId),
      },
      tools,
    );
    plot.current = made;
    made.setData(latest.current.data);
    made.setHighlight(highlight.get());
    const stop = highlight.subscribe(() => made.setHighlight(highlight.get()));
    const sizes = new ResizeObserver(() => made.resize(element.clientWidth, element.clientHeight));
    sizes.observe(element);
    return () => {
      stop();
      sizes.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [xKind, xLabel, isLog, cursorKey, highlight, tools]);
  useEffect(() => plot.current?.setData(data), [data]);
  return <div ref={host} className="ep-line-chart" role="img" aria-label={title} />;
}
