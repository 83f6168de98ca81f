/** Spreads drawing over frames, so that many charts never hold up the page; what is under the mouse goes first. */

export interface Drawable {
  readonly draw: () => void;
  readonly isHovered: () => boolean;
}

/** Milliseconds of a frame that drawing may take. */
const BUDGET_MS = 8;

/** A queue of charts to draw; each is in it once, however often it asked. */
export class FrameQueue {
  private readonly waiting = new Set<Drawable>();
  private frame = 0;

  add(chart: Drawable): void {
    this.waiting.add(chart);
    if (this.frame === 0) this.frame = requestAnimationFrame(this.run);
  }

  remove(chart: Drawable): void {
    this.waiting.delete(chart);
  }

  private readonly run = () => {
    this.frame = 0;
    const start = performance.now();
    const hovered = [...this.waiting].filter((chart) => chart.isHovered());
    for (const chart of [...hovered, ...this.waiting]) {
      if (!this.waiting.delete(chart)) continue;
      chart.draw();
      if (performance.now() - start > BUDGET_MS) break;
    }
    if (this.waiting.size > 0) this.frame = requestAnimationFrame(this.run);
  };
}
