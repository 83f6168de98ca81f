import { type KeyboardEvent, type PointerEvent, useRef } from "react";

import { useServices, useStore } from "@/data/services";

const MIN_PX = 220;
const MAX_PX = 640;
const KEY_STEP_PX = 16;

/** The edge of the runs list, to be dragged or moved with the arrow keys. */
export function SidebarEdge() {
  const { layout } = useServices();
  const width = useStore(layout, (value) => value.sidebarPx);
  const from = useRef<{ readonly x: number; readonly px: number } | null>(null);
  const setWidth = (px: number) =>
    layout.set({ ...layout.get(), sidebarPx: Math.round(Math.min(Math.max(px, MIN_PX), MAX_PX)) });
  const handleDown = (event: PointerEvent) => {
    from.current = { x: event.clientX, px: width };
    event.currentTarget.setPointerCapture(event.pointerId);
  };
  const handleMove = (event: PointerEvent) => {
    if (from.current !== null) setWidth(from.current.px + event.clientX - from.current.x);
  };
  const handleKey = (event: KeyboardEvent) => {
    if (event.key === "ArrowLeft") setWidth(width - KEY_STEP_PX);
    if (event.key === "ArrowRight") setWidth(width + KEY_STEP_PX);
  };
  return (
    <div
      className="ep-sidebar-edge"
      role="separator"
      aria-label="Width of the runs list"
      aria-orientation="vertical"
      aria-valuenow={width}
      aria-valuemin={MIN_PX}
      aria-valuemax={MAX_PX}
      tabIndex={0}
      onPointerDown={handleDown}
      onPointerMove={handleMove}
      onPointerUp={() => {
        from.current = null;
      }}
      onKeyDown={handleKey}
    />
  );
}
