/**
 * Time-weighted exponential moving average: the same weight looks the same whatever the density of
 * the points.
 *
 * For points at x with values y, a weight p of 0 to 1 and an x range of width W:
 * w = min(√p, 0.999), and between neighbours a = w^(Δx / W · 1000), where 1000 stands for the width
 * of the view.  S = S·a + y, D = D·a + 1, and the smoothed value is S / D.
 */

const VIEW_WIDTH = 1000;

/** Returns the smoothed values; a value that is not finite stays as it is and leaves the average alone. */
export function smooth(
  x: ArrayLike<number>,
  y: ArrayLike<number>,
  weight: number,
  xWidth: number,
): Float64Array {
  const n = y.length;
  const out = new Float64Array(n);
  const w = Math.min(Math.sqrt(Math.max(weight, 0)), 0.999);
  let sum = 0;
  let norm = 0;
  let previous = Number.NaN;
  for (let i = 0; i < n; i++) {
    const value = y[i] ?? Number.NaN;
    if (!Number.isFinite(value)) {
      out[i] = value;
      continue;
    }
    const at = x[i] ?? 0;
    const delta = Number.isNaN(previous) || xWidth <= 0 ? 1 : ((at - previous) / xWidth) * VIEW_WIDTH;
    const decay = Math.pow(w, Math.max(delta, 0));
    sum = sum * decay + value;
    norm = norm * decay + 1;
    out[i] = sum / norm;
    previous = at;
  }
  return out;
}
