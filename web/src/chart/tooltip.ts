/** What is under the mouse, in words: one floating list for all charts of a page, outside of React. */
import { formatValue } from "@/base/format";
import { visibleText } from "@/base/text";

export interface TooltipRow {
  readonly label: string;
  readonly color: string;
  readonly dash: readonly number[];
  readonly value: number;
  /** Lowest and highest point of the bucket, where it holds more than one. */
  readonly spread: readonly [number, number] | null;
  /** The value before smoothing; null without smoothing. */
  readonly original: number | null;
  readonly isNearest: boolean;
}

export interface TooltipContent {
  readonly title: string;
  /** Sorted by value. */
  readonly rows: readonly TooltipRow[];
  /** Lines that had no room. */
  readonly nMore: number;
}

const DISTANCE_PX = 16;
const MARGIN_PX = 8;
const SVG = "http://www.w3.org/2000/svg";

export class Tooltip {
  private element: HTMLElement | undefined;
  private content: TooltipContent | undefined;

  /** What is shown as tab-separated text with all digits; null while nothing is under the mouse. */
  text(): string | null {
    if (this.content === undefined) return null;
    const { title, rows } = this.content;
    return [title, ...rows.map(({ label, value }) => `${label}\t${value}`)].join("\n");
  }

  /** Shows the content beside a point of the window, never over it. */
  show(content: TooltipContent, clientX: number, clientY: number): void {
    this.content = content;
    this.element ??= document.body.appendChild(node("div", "ep-tooltip"));
    const { element } = this;
    element.replaceChildren(
      node("header", "", content.title),
      ...content.rows.map(rowNode),
      ...(content.nMore > 0 ? [node("footer", "", `and ${content.nMore} more`)] : []),
    );
    element.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = element;
    const hasRoom = clientX + DISTANCE_PX + width + MARGIN_PX <= window.innerWidth;
    const x = hasRoom ? clientX + DISTANCE_PX : clientX - DISTANCE_PX - width;
    const y = Math.min(clientY - height / 2, window.innerHeight - height - MARGIN_PX);
    element.style.transform = `translate(${Math.max(x, MARGIN_PX)}px, ${Math.max(y, MARGIN_PX)}px)`;
  }

  hide(): void {
    this.content = undefined;
    if (this.element !== undefined) this.element.hidden = true;
  }
}

function rowNode(row: TooltipRow): HTMLElement {
  const element = node("div", row.isNearest ? "ep-tooltip-row ep-tooltip-near" : "ep-tooltip-row");
  element.append(
    swatch(row),
    node("span", "", visibleText(row.label)),
    node("b", "", formatValue(row.value)),
  );
  const notes: string[] = [];
  if (row.original !== null) notes.push(`logged ${formatValue(row.original)}`);
  if (row.spread !== null) notes.push(`${formatValue(row.spread[0])} to ${formatValue(row.spread[1])}`);
  if (row.isNearest && notes.length > 0) element.append(node("small", "", notes.join(", ")));
  return element;
}

function swatch({ color, dash }: TooltipRow): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 14 4");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", "M0 2h14");
  line.setAttribute("stroke", color);
  line.setAttribute("stroke-width", "2.5");
  line.setAttribute("stroke-dasharray", dash.join(" "));
  svg.append(line);
  return svg;
}

/** An element with a text; what was logged is never markup. */
function node(tag: string, className: string, text = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}
