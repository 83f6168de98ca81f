/**
 * Where the ticks of an axis stand.  uPlot adds up: its logarithmic ticks are only right for a range that
 * begins at a power of ten, and both kinds may never end where a sum is rounded back to where it was.
 */

const FACTORS = [1, 2, 5] as const;

/** At most `most` ticks from `low` to `high`, both above zero: decades, parts of them where there is room. */
export function logTicks(low: number, high: number, most: number): number[] {
  const decades = Math.log10(high) - Math.log10(low);
  if (!(decades > 0) || !Number.isFinite(decades) || most < 1) return [];
  if (decades < 1) return roundTicks(low, high, most);
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const isInside = (value: number) => value >= low && value <= high;
  const parts: number[] = [];
  if (decades * FACTORS.length <= most) {
    for (let power = first; power <= last; power++) {
      parts.push(...FACTORS.map((factor) => scaled(factor, power)).filter(isInside));
    }
    return parts;
  }
  const stride = Math.ceil((decades + 1) / most);
  // Multiples of the stride, so that the ticks stay where they are while an axis grows.
  for (let power = Math.floor(first / stride) * stride; power <= last; power += stride) {
    parts.push(scaled(1, power));
  }
  return parts.filter(isInside);
}

/** Ticks of one distance, a round one. */
function roundTicks(low: number, high: number, most: number): number[] {
  const least = (high - low) / most;
  const power = Math.floor(Math.log10(least));
  const distance = scaled(FACTORS.find((factor) => scaled(factor, power) >= least) ?? 10, power);
  return evenTicks(low, high, distance);
}

/** More would never be asked for; fewer digits than this many ticks need are not in a number. */
const MOST = 1000;

/** The multiples of `distance` from `low` to `high`. */
export function evenTicks(low: number, high: number, distance: number): number[] {
  const ticks: number[] = [];
  if (!(distance > 0)) return ticks;
  // Counted and not summed up: next to 1e17 a sum with 1 never grows, and the page would stand still.
  const begin = Math.ceil(low / distance);
  for (let n = 0; n < MOST; n++) {
    const tick = Number(((begin + n) * distance).toPrecision(15));
    if (tick > high) break;
    if (tick >= low && tick !== ticks.at(-1)) ticks.push(tick);
  }
  return ticks;
}

/** A factor times ten to a whole power, as it is written: `10 ** -24` is not 1e-24. */
function scaled(factor: number, power: number): number {
  return Number(`${factor}e${power}`);
}
