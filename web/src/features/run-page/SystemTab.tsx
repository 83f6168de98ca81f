import type { RunData } from "./runData";
import type { RunPageProps } from "./RunPage";

export function SystemTab({ run }: RunPageProps & { readonly run: RunData }) {
  return <p>{run.name}</p>;
}
