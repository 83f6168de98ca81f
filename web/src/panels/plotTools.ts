import { createContext } from "react";

import { FrameQueue } from "@/chart/frames";
import type { PlotTools } from "@/chart/LinePlot";
import { Tooltip } from "@/chart/tooltip";

/** What all charts of a page share: one queue of redraws, one tooltip. */
export const PlotToolsContext = createContext<PlotTools>({
  frames: new FrameQueue(),
  tooltip: new Tooltip(),
});
