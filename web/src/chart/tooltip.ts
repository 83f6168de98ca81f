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
  private parts: Parts | undefined;
  private readonly rows: RowView[] = [];
  /** What the size was measured for. */
  private shape = "";
  private size = { width: 0, height: 0 };
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
    const { element, header, footer } = (this.parts ??= mount());
    setText(header, content.title);
    setText(footer, content.nMore > 0 ? `and ${content.nMore} more` : "");
    while (this.rows.length > content.rows.length) this.rows.pop()?.element.remove();
    content.rows.forEach((row, index) => {
      const view = (this.rows[index] ??= newRow(footer));
      fillRow(view, row);
    });
    element.hidden = false;
    // Reading a size makes the browser lay out the page, so it is read only when it can have changed.
    const shape = `${content.rows.length} ${content.rows.map(({ label }) => label).join("\n")}`;
    if (shape !== this.shape) {
      this.shape = shape;
      this.size = { width: element.offsetWidth, height: element.offsetHeight };
    }
    const { width, height } = this.size;
    const hasRoom = clientX + DISTANCE_PX + width + MARGIN_PX <= window.innerWidth;
    const x = hasRoom ? clientX + DISTANCE_PX : clientX - DISTANCE_PX - width;
    const y = Math.min(clientY - height / 2, window.innerHeight - height - MARGIN_PX);
    element.style.transform = `translate(${Math.max(x, MARGIN_PX)}px, ${Math.max(y, MARGIN_PX)}px)`;
  }

  hide(): void {
    this.content = undefined;
    if (this.parts !== undefined) this.parts.element.hidden = true;
  }
}

interface Parts {
  readonly element: HTMLElement;
  readonly header: HTMLElement;
  readonly footer: HTMLElement;
}

interface RowView {
  readonly element: HTMLElement;
  readonly line: SVGElement;
  readonly label: HTMLElement;
  readonly value: HTMLElement;
  readonly note: HTMLElement;
}

function mount(): Parts {
  const element = document.body.appendChild(node("div", "ep-tooltip"));
  const header = element.appendChild(node("header"));
  const footer = element.appendChild(node("footer"));
  return { element, header, footer };
}

function newRow(before: HTMLElement): RowView {
  const element = node("div", "ep-tooltip-row");
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 14 4");
  const line = document.createElementNS(SVG, "path");
  line.setAttribute("d", "M0 2h14");
  line.setAttribute("stroke-width", "2.5");
  svg.append(line);
  const [label, value, note] = [node("span"), node("b"), node("small")];
  element.append(svg, label, value, note);
  before.before(element);
  return { element, line, label, value, note };
}

function fillRow(view: RowView, row: TooltipRow): void {
  const notes: string[] = [];
  if (row.isNearest && row.original !== null) notes.push(`logged ${formatValue(row.original)}`);
  if (row.isNearest && row.spread !== null) {
    notes.push(`${formatValue(row.spread[0])} to ${formatValue(row.spread[1])}`);
  }
  view.element.classList.toggle("ep-tooltip-near", row.isNearest);
  view.line.setAttribute("stroke", row.color);
  view.line.setAttribute("stroke-dasharray", row.dash.join(" "));
  setText(view.label, visibleText(row.label));
  setText(view.value, formatValue(row.value));
  setText(view.note, notes.join(", "));
}

/** Sets a text where it changed; what was logged is never markup. */
function setText(element: HTMLElement, text: string): void {
  if (element.textContent !== text) element.textContent = text;
  element.hidden = text === "";
}

function node(tag: string, className = ""): HTMLElement {
  const element = document.createElement(tag);
  element.className = className;
  return element;
}
