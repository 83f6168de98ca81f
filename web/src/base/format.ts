/** Numbers, durations and dates as a person reads them.  Pure; the clock is passed in. */

const COUNT = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const DATE_TIME = new Intl.DateTimeFormat("en-GB", {
  day: "numeric",
  month: "short",
  year: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** A whole number with thousands marked: 5,000. */
export function formatCount(count: number): string {
  return COUNT.format(count);
}

/** A count and its noun: "1 run", "5,000 points". */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** A value with four significant digits, scientific where it is very large or small: 0.4213, 1.2e-7. */
export function formatValue(value: number, digits = 4): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e6) return sign(COUNT.format(value));
  if (size >= 1e6 || size < 1e-4) return sign(trimExponent(value.toExponential(digits - 1)));
  return sign(Number(value.toPrecision(digits)).toString());
}

/** An axis label: short, with SI letters for large numbers and an exponent for small ones. */
export function formatTick(value: number, increment: number): string {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e15 || size < 1e-3)
    return sign(trimExponent(value.toExponential(exponentDigits(size, increment))));
  for (const [from, unit, letter] of SI) {
    if (size >= from) return sign(fixed(value / unit, increment / unit)) + letter;
  }
  return sign(fixed(value, increment));
}

/** From which size on a unit is used; thousands stay written out a little longer. */
const SI: readonly (readonly [number, number, string])[] = [
  [1e12, 1e12, "T"],
  [1e9, 1e9, "G"],
  [1e6, 1e6, "M"],
  [1e4, 1e3, "k"],
];

/** As many decimals as tell neighbouring ticks apart. */
function fixed(value: number, increment: number): string {
  return Number(value.toFixed(increment > 0 ? decimalsOf(increment) : 2)).toString();
}

/** As many digits behind the point as tell neighbouring ticks apart, at least two. */
function exponentDigits(size: number, increment: number): number {
  const digits = increment > 0 ? Math.ceil(Math.log10(size / increment)) + 1 : 2;
  return Math.min(Math.max(digits, 2), 15);
}

/** How many decimals write `increment` out: 2 for 0.25, so that no tick claims to stand elsewhere. */
function decimalsOf(increment: number): number {
  const least = Math.max(0, Math.ceil(-Math.log10(increment) - 1e-9));
  for (let decimals = least; decimals < least + 3; decimals += 1) {
    const scaled = increment * 10 ** decimals;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6) return Math.min(decimals, 10);
  }
  return Math.min(least + 2, 10);
}

function trimExponent(text: string): string {
  return text.replace(/\.?0+e/, "e").replace("e+", "e");
}

/** A true minus sign, as wide as the digits. */
function sign(text: string): string {
  return text.replace(/^-/, "−").replace("e-", "e−");
}

/** A span of time, two units at most: "2 h 14 m", "45 s", "120 ms". */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return formatValue(seconds);
  if (seconds < 0) return `−${formatDuration(-seconds)}`;
  if (seconds === 0) return "0 s";
  if (seconds < 1) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  if (seconds < 60) return `${Number(seconds.toPrecision(3))} s`;
  const whole = Math.round(seconds);
  const [size, unit, smallSize, smallUnit] =
    whole < 3600
      ? ([60, "m", 1, "s"] as const)
      : whole < 86_400
        ? ([3600, "h", 60, "m"] as const)
        : ([86_400, "d", 3600, "h"] as const);
  const rest = Math.floor((whole % size) / smallSize);
  const head = `${Math.floor(whole / size)} ${unit}`;
  return rest === 0 ? head : `${head} ${rest} ${smallUnit}`;
}

/** How long ago: "just now", "5 m ago", "3 d ago". */
export function formatAgo(then: Date, now: Date): string {
  const seconds = (now.getTime() - then.getTime()) / 1000;
  if (seconds < 10) return "just now";
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}

/** Date and time to the second, in the reader's time zone. */
export function formatDateTime(date: Date): string {
  return DATE_TIME.format(date);
}

/** A wall-time axis label, as fine as the distance of the ticks asks for. */
export function formatTimeTick(seconds: number, increment: number): string {
  const date = new Date(seconds * 1000);
  const two = (n: number) => n.toString().padStart(2, "0");
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}`;
  // A day begins with its name, so that no hour of a long run is taken for another day's.
  if (increment >= 86_400 || (increment >= 600 && clock === "00:00")) return DAY.format(date);
  return increment >= 60 ? clock : `${clock}:${two(date.getSeconds())}`;
}

const BYTE_UNITS = ["B", "kB", "MB", "GB", "TB"] as const;

/** A size in decimal units: 1.2 MB. */
export function formatBytes(bytes: number): string {
  const power = Math.min(Math.max(Math.floor(Math.log10(Math.max(bytes, 1)) / 3), 0), BYTE_UNITS.length - 1);
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${BYTE_UNITS[power] ?? "B"}`;
}
