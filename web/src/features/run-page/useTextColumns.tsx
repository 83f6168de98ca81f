import { type ReactNode, useLayoutEffect, useRef, useState } from "react";

/** Characters in the ruler: enough that a fraction of a pixel does not matter. */
const RULER = 100;
/** Space for the scrollbar and a little air, in characters. */
const SPARE = 3;

/**
 * How many characters of the log's font fit beside its gutter.
 *
 * @returns an element to put where the text is, and the number of columns, at least 20.
 */
export function useTextColumns(gutter: number): [ReactNode, number] {
  const ruler = useRef<HTMLDivElement>(null);
  const [fitting, setFitting] = useState(120);
  useLayoutEffect(() => {
    const element = ruler.current;
    const box = element?.parentElement;
    if (element == null || box == null) return;
    const measure = () => {
      const charPx = element.getBoundingClientRect().width / RULER;
      if (charPx > 0) setFitting(Math.floor(box.clientWidth / charPx));
    };
    const observer = new ResizeObserver(measure);
    observer.observe(box);
    // The font may come after the first picture.
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  const mark = (
    <div ref={ruler} className="ep-log-ruler" aria-hidden>
      {"0".repeat(RULER)}
    </div>
  );
  return [mark, Math.max(20, fitting - gutter - SPARE)];
}
