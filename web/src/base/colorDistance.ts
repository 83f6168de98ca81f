/**
 * How different two colours look, also to eyes with a colour-vision deficiency.
 *
 * Sources: Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", 2005; Machado, Oliveira,
 * Fernandes, "A physiologically-based model for simulation of color vision deficiency", 2009
 * (matrices of full severity); WCAG 2.2 for contrast.
 */

type Triple = readonly [number, number, number];
type Matrix = readonly [Triple, Triple, Triple];

export type Sight = "normal" | "protanopia" | "deuteranopia" | "tritanopia";

const SIGHTS: Readonly<Record<Sight, Matrix>> = {
  normal: [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  protanopia: [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  deuteranopia: [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  tritanopia: [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
};

const TO_XYZ: Matrix = [
  [0.4124564, 0.3575761, 0.1804375],
  [0.2126729, 0.7151522, 0.072175],
  [0.0193339, 0.119192, 0.9503041],
];

/** Linear sRGB, 0 to 1, of `#rrggbb`. */
export function linearOf(hex: string): Triple {
  const channel = (at: number) => {
    const value = Number.parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

/** WCAG contrast of two colours, 1 to 21. */
export function contrast(left: string, right: string): number {
  const luminance = (hex: string) => multiply(TO_XYZ, linearOf(hex))[1] + 0.05;
  const [a, b] = [luminance(left), luminance(right)];
  return Math.max(a, b) / Math.min(a, b);
}

/** CIEDE2000 distance of two colours as eyes of that kind see them; about 2 is just noticeable. */
export function distance(left: string, right: string, sight: Sight = "normal"): number {
  const seen = (hex: string) => labOf(multiply(SIGHTS[sight], linearOf(hex)));
  return ciede2000(seen(left), seen(right));
}

function multiply(m: Matrix, v: Triple): Triple {
  const row = (r: Triple) => r[0] * v[0] + r[1] * v[1] + r[2] * v[2];
  return [row(m[0]), row(m[1]), row(m[2])];
}

function labOf(linear: Triple): Triple {
  const clipped = linear.map((value) => Math.min(Math.max(value, 0), 1)) as unknown as Triple;
  const [x, y, z] = multiply(TO_XYZ, clipped);
  const f = (t: number) => (t > 216 / 24389 ? Math.cbrt(t) : ((24389 / 27) * t + 16) / 116);
  const [fx, fy, fz] = [f(x / 0.95047), f(y), f(z / 1.08883)];
  return [116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)];
}

const rad = (degrees: number) => (degrees * Math.PI) / 180;
const deg = (radians: number) => ((radians * 180) / Math.PI + 360) % 360;

/** CIEDE2000 of two CIELAB colours, with all weights 1. */
export function ciede2000([l1, a1, b1]: Triple, [l2, a2, b2]: Triple): number {
  const meanC = (Math.hypot(a1, b1) + Math.hypot(a2, b2)) / 2;
  const g = 0.5 * (1 - Math.sqrt(meanC ** 7 / (meanC ** 7 + 25 ** 7)));
  const [ap1, ap2] = [(1 + g) * a1, (1 + g) * a2];
  const [c1, c2] = [Math.hypot(ap1, b1), Math.hypot(ap2, b2)];
  const h1 = c1 === 0 ? 0 : deg(Math.atan2(b1, ap1));
  const h2 = c2 === 0 ? 0 : deg(Math.atan2(b2, ap2));
  const isGrey = c1 * c2 === 0;
  const turn = isGrey ? 0 : ((((h2 - h1 + 180) % 360) + 360) % 360) - 180;
  const dL = l2 - l1;
  const dC = c2 - c1;
  const dH = 2 * Math.sqrt(c1 * c2) * Math.sin(rad(turn / 2));
  const l = (l1 + l2) / 2;
  const c = (c1 + c2) / 2;
  const h = isGrey ? h1 + h2 : meanHue(h1, h2);
  const t =
    1 -
    0.17 * Math.cos(rad(h - 30)) +
    0.24 * Math.cos(rad(2 * h)) +
    0.32 * Math.cos(rad(3 * h + 6)) -
    0.2 * Math.cos(rad(4 * h - 63));
  const sl = 1 + (0.015 * (l - 50) ** 2) / Math.sqrt(20 + (l - 50) ** 2);
  const sc = 1 + 0.045 * c;
  const sh = 1 + 0.015 * c * t;
  const rt =
    -2 * Math.sqrt(c ** 7 / (c ** 7 + 25 ** 7)) * Math.sin(rad(60 * Math.exp(-(((h - 275) / 25) ** 2))));
  return Math.sqrt((dL / sl) ** 2 + (dC / sc) ** 2 + (dH / sh) ** 2 + rt * (dC / sc) * (dH / sh));
}

function meanHue(h1: number, h2: number): number {
  if (Math.abs(h1 - h2) <= 180) return (h1 + h2) / 2;
  return h1 + h2 < 360 ? (h1 + h2 + 360) / 2 : (h1 + h2 - 360) / 2;
}
