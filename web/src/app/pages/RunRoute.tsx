import { useParams, useSearch } from "@tanstack/react-router";
import { useMemo } from "react";

import { useProjectRef } from "@/data/services";
import { RunPage } from "@/features/run-page/RunPage";
import { parseRunPage, runPageSearch } from "@/features/run-page/runPageState";

import { useUrlState } from "../useUrlState";

/** A run's page, with its state in the address. */
export function RunRoute() {
  const params = useParams({ from: "/$entity/$project/runs/$run" });
  const search = useSearch({ from: "/$entity/$project/runs/$run" });
  const project = useProjectRef(params.entity, params.project);
  const state = useMemo(() => parseRunPage({ ...search }), [search]);
  const change = useUrlState(state, runPageSearch);
  return <RunPage key={params.run} project={project} runId={params.run} state={state} onChange={change} />;
}
