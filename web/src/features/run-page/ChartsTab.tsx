import type { RunData } from "./runData";
import type { RunPageProps } from "./RunPage";

export function ChartsTab({ run }: RunPageProps & { readonly run: RunData }) {
  return <p>{run.name}</p>;
}
