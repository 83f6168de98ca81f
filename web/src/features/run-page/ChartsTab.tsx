import { CodeBlock, Message } from "@/ui/messages";

import { RunBoard } from "./RunBoard";
import type { RunData } from "./runData";
import type { RunPageProps } from "./RunPage";

/** The metrics that the run logged. */
export function ChartsTab({ state, onChange, ...page }: RunPageProps & { readonly run: RunData }) {
  return (
    <RunBoard
      {...page}
      stream="history"
      state={state.charts}
      onChange={(change) => onChange({ charts: { ...state.charts, ...change } })}
      empty={
        <Message title="No metrics yet">
          <p>A panel appears here with the first number that the run logs:</p>
          <CodeBlock code={'run.log({"loss": 0.9})'} />
        </Message>
      }
    />
  );
}
