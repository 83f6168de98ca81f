import { useVirtualizer } from "@tanstack/react-virtual";
import { type ClipboardEvent, type KeyboardEvent, useId, useRef } from "react";

import { formatCount } from "@/base/format";
import { visibleText } from "@/base/text";
import { copyText, CopyButton } from "@/ui/CopyButton";
import { Icon } from "@/ui/Icon";
import { useRowCursor } from "@/ui/useRowCursor";

import { fullText, isLong, leafKind, leafText, LONG_VALUE, type TreeRow } from "./valueTree";

interface ValueTreeProps {
  readonly label: string;
  readonly rows: readonly TreeRow[];
  readonly onToggle: (path: string) => void;
}

const ROW_PX = 24;

/**
 * Rows of a tree.  Only those in sight are in the page, so ten thousand keys cost as much as fifty.
 * What is copied is the value in full, whatever was rounded or cut on the screen.
 */
export function ValueTree({ label, rows, onToggle }: ValueTreeProps) {
  const id = useId();
  const host = useRef<HTMLDivElement>(null);
  const list = useVirtualizer({
    count: rows.length,
    getScrollElement: () => host.current,
    estimateSize: () => ROW_PX,
    getItemKey: (index) => rows[index]?.path ?? index,
    overscan: 12,
  });
  const cursor = useRowCursor(rows.length, (index) => list.scrollToIndex(index));
  const handleKey = (event: KeyboardEvent) => {
    const row = rows[cursor.at];
    if (event.target !== event.currentTarget || cursor.handleMove(event) || row === undefined) return;
    if (isFoldKey(event.key, row)) {
      event.preventDefault();
      onToggle(row.path);
    } else if (event.key === "c" && (event.metaKey || event.ctrlKey) && hasNoSelection()) {
      void copyText(fullText(row.value));
    }
  };
  return (
    <div
      ref={host}
      className="ep-tree"
      role="tree"
      tabIndex={0}
      aria-label={`${label}; arrows move, Enter unfolds, Ctrl C copies`}
      aria-activedescendant={cursor.at >= 0 ? `${id}-${cursor.at}` : undefined}
      onKeyDown={handleKey}
      onCopy={(event) => copyRows(event, rows)}
    >
      <div role="presentation" style={{ height: list.getTotalSize(), position: "relative" }}>
        {list.getVirtualItems().map(({ index, start, key }) => {
          const row = rows[index];
          if (row === undefined) return null;
          return (
            <div
              key={key}
              ref={list.measureElement}
              data-index={index}
              id={`${id}-${index}`}
              className="ep-tree-row"
              role="treeitem"
              aria-level={row.depth + 1}
              aria-expanded={row.nInside > 0 || isLong(row.value) ? row.isOpen : undefined}
              aria-selected={index === cursor.at}
              style={{ transform: `translateY(${start}px)` }}
              onMouseDown={() => cursor.setAt(index)}
            >
              <Row row={row} onToggle={() => onToggle(row.path)} />
            </div>
          );
        })}
      </div>
    </div>
  );
}

function isFoldKey(key: string, row: TreeRow): boolean {
  if (row.nInside === 0 && !isLong(row.value)) return false;
  if (key === "Enter" || key === " ") return true;
  return key === (row.isOpen ? "ArrowLeft" : "ArrowRight");
}

function Row({ row, onToggle }: { readonly row: TreeRow; readonly onToggle: () => void }) {
  const canOpen = row.nInside > 0 || isLong(row.value);
  return (
    <>
      <div className="ep-tree-line">
        <span className="ep-tree-key" data-branch={row.nInside > 0} title={row.path}>
          {Array.from({ length: row.depth }, (_, index) => (
            <i key={index} aria-hidden />
          ))}
          {canOpen ? (
            <button
              type="button"
              tabIndex={-1}
              aria-label={row.isOpen ? "Fold" : "Unfold"}
              onClick={onToggle}
            >
              <Icon name={row.isOpen ? "chevronDown" : "chevronRight"} />
            </button>
          ) : (
            <b aria-hidden />
          )}
          <bdi>{visibleText(row.name)}</bdi>
        </span>
        {row.nInside > 0 ? <small>{formatCount(row.nInside)}</small> : <Leaf row={row} />}
      </div>
      {row.nInside === 0 && row.isOpen && <pre className="ep-tree-full">{fullText(row.value)}</pre>}
    </>
  );
}

function Leaf({ row }: { readonly row: TreeRow }) {
  const text = leafText(row.value);
  const full = fullText(row.value);
  return (
    <>
      <span
        className="ep-tree-value"
        data-kind={leafKind(row.value)}
        data-nan={text === "NaN" || text.endsWith("∞")}
        title={full.length > 2000 ? `${full.slice(0, 2000)}…` : full}
      >
        <bdi>{visibleText(oneLine(text)) || "“”"}</bdi>
      </span>
      <CopyButton label={`Copy ${row.path}`} text={() => full} />
    </>
  );
}

/** The beginning of a text, with its line breaks told. */
function oneLine(text: string): string {
  return text.slice(0, 4 * LONG_VALUE).replaceAll("\n", " ↵ ");
}

function hasNoSelection(): boolean {
  return getSelection()?.isCollapsed !== false;
}

/** Puts the selected rows on the clipboard with their values in full. */
function copyRows(event: ClipboardEvent<HTMLDivElement>, rows: readonly TreeRow[]): void {
  const selection = getSelection();
  if (selection === null || selection.isCollapsed) return;
  const selected = [...event.currentTarget.querySelectorAll<HTMLElement>("[data-index]")]
    .filter((element) => selection.containsNode(element, true))
    .sort((left, right) => Number(left.dataset["index"]) - Number(right.dataset["index"]))
    .flatMap((element) => rows[Number(element.dataset["index"])] ?? []);
  const [only] = selected;
  if (only === undefined) return;
  // Part of one text is copied as it was selected; a number, even in part, in full.
  if (selected.length === 1 && leafKind(only.value) !== "number") return;
  const lines = selected
    .filter((row) => row.nInside === 0)
    .map((row) => `${row.path}\t${fullText(row.value)}`);
  event.clipboardData.setData("text/plain", selected.length === 1 ? fullText(only.value) : lines.join("\n"));
  event.preventDefault();
}
