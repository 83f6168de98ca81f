import { type CSSProperties, memo, type ReactNode, useMemo } from "react";

import { formatDateTime } from "@/base/format";
import { type MarkedSpan, markSpans, rangesIn } from "@/base/marks";
import type { TextStyle } from "@/base/terminal";
import type { LogLine } from "@/data/consoleLog";

interface LogRowProps {
  readonly sequence: number;
  /** Missing until it was fetched. */
  readonly line: LogLine | undefined;
  /** Characters that the number and the time take. */
  readonly gutter: number;
  /** Characters after which the text is wrapped; 0 for never. */
  readonly columns: number;
  readonly hasTime: boolean;
  readonly expression: RegExp | null;
  readonly isCurrent: boolean;
  readonly isPointed: boolean;
  readonly onPoint: (line: number) => void;
}

/** Longer than this a line is cut on the screen; it is whole in what is copied and downloaded. */
const MAX_SHOWN = 20_000;

/** One line of a log.  It is drawn again only if it changed itself. */
export const LogRow = memo(function LogRow(props: LogRowProps) {
  const { sequence, line, gutter, columns, hasTime, expression, isCurrent, isPointed, onPoint } = props;
  const spans = useMemo(() => spansOf(line, expression), [line, expression]);
  const width: CSSProperties = columns > 0 ? { width: `${columns}ch` } : {};
  return (
    <div className="ep-log-row" data-error={line?.isError} data-current={isCurrent} data-pointed={isPointed}>
      <span className="ep-log-gutter" style={{ width: `${gutter}ch` }}>
        <span className="ep-log-error" title={line?.isError === true ? "Written to stderr" : undefined}>
          {line?.isError === true ? "err" : ""}
        </span>
        {hasTime && line !== undefined && <Time seconds={line.time} />}
        <button
          type="button"
          tabIndex={-1}
          title="Put this line into the address"
          onClick={() => onPoint(isPointed ? 0 : sequence + 1)}
        >
          {sequence + 1}
        </button>
      </span>
      <span className="ep-log-text" style={width}>
        {spans.map((span, index) => (
          <Span key={index} span={span} />
        ))}
      </span>
    </div>
  );
});

function Time({ seconds }: { readonly seconds: number }) {
  const date = new Date(seconds * 1000);
  const two = (part: number) => part.toString().padStart(2, "0");
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  return (
    <time dateTime={date.toISOString()} title={formatDateTime(date)}>
      {`${clock}.${date.getMilliseconds().toString().padStart(3, "0")}`}
    </time>
  );
}

function spansOf(line: LogLine | undefined, expression: RegExp | null): readonly MarkedSpan[] {
  if (line === undefined) return [];
  const { spans, text } = line.shown;
  if (text.length > MAX_SHOWN) {
    return [{ text: `${text.slice(0, MAX_SHOWN)} …`, style: {}, isMarked: false }];
  }
  return markSpans(spans, expression === null ? [] : rangesIn(text, expression));
}

function Span({ span }: { readonly span: MarkedSpan }): ReactNode {
  const { text, style, isMarked } = span;
  const content = isMarked ? <mark>{text}</mark> : text;
  if (Object.keys(style).length === 0) return content;
  return (
    <span {...looksOf(style)} style={colorsOf(style)}>
      {content}
    </span>
  );
}

/** Attributes that logs.css knows: the sixteen named colours are the theme's. */
function looksOf(style: TextStyle) {
  const { color, background } = swapped(style);
  const looks = [
    style.isBold === true && "bold",
    style.isDim === true && "dim",
    style.isItalic === true && "italic",
    style.isUnderlined === true && "underlined",
    style.isStruck === true && "struck",
    style.isInverse === true && "inverse",
  ];
  return {
    "data-looks": looks.filter((look) => look !== false).join(" "),
    "data-color": typeof color === "number" ? color : undefined,
    "data-background": typeof background === "number" ? background : undefined,
  };
}

function colorsOf(style: TextStyle): CSSProperties {
  const { color, background } = swapped(style);
  return {
    ...(typeof color === "string" && { color }),
    ...(typeof background === "string" && { background }),
  };
}

/** Inverse text has the colours of its ground and the other way round. */
function swapped({ color, background, isInverse }: TextStyle): Pick<TextStyle, "color" | "background"> {
  const swap = isInverse === true;
  const [front, back] = swap ? [background, color] : [color, background];
  return {
    ...(front !== undefined && { color: front }),
    ...(back !== undefined && { background: back }),
  };
}
