import { type RefObject, useEffect, useRef, useState } from "react";

/** Is the element on screen, or nearly? What is not is neither mounted nor fetched. */
export function useOnScreen<Element extends HTMLElement>(
  marginPx: number,
): readonly [RefObject<Element | null>, boolean] {
  const ref = useRef<Element>(null);
  const [isOnScreen, setOnScreen] = useState(false);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new IntersectionObserver(
      (entries) => setOnScreen(entries.at(-1)?.isIntersecting ?? false),
      { root: element.closest(".ep-board-scroll"), rootMargin: `${marginPx}px 0px` },
    );
    observer.observe(element);
    return () => observer.disconnect();
  }, [marginPx]);
  return [ref, isOnScreen];
}

/** The width of an element as it changes, in CSS pixels; 0 until it is known. */
export function useWidth<Element extends HTMLElement>(): readonly [RefObject<Element | null>, number] {
  const ref = useRef<Element>(null);
  const [width, setWidth] = useState(0);
  useEffect(() => {
    const element = ref.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}
