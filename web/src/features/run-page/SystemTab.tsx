import { isAlive } from "@/data/runState";
import { Message } from "@/ui/messages";

import { RunBoard } from "./RunBoard";
import type { RunData } from "./runData";
import type { RunPageProps } from "./RunPage";

/** What the hardware did while the run trained. */
export function SystemTab({ state, onChange, ...page }: RunPageProps & { readonly run: RunData }) {
  return (
    <RunBoard
      {...page}
      stream="system"
      state={state.system}
      onChange={(change) => onChange({ system: { ...state.system, ...change } })}
      empty={
        <Message title={isAlive(page.run.state) ? "No system metrics yet" : "No system metrics"}>
          <p>
            CPU, memory, disk, network and GPUs are sampled every 15 seconds beside the training, unless the
            run was started with <code>Settings(_disable_stats=True)</code>.
          </p>
        </Message>
      }
    />
  );
}
