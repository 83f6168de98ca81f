/** The kinds of panel there are.  A new kind gets a folder beside this file and a line here. */
import type { MetricType } from "@/wire/operations.gen";

import { LinePanel } from "./line/LinePanel";

/** Which component draws a metric of a type; a type without one gets no panel yet. */
export const PANEL_KINDS: Readonly<Partial<Record<MetricType, typeof LinePanel>>> = {
  number: LinePanel,
};
