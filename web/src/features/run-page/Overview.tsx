import { useMemo } from "react";

import type { JsonMap } from "@/base/json";

import { isAlive } from "@/data/runState";

import { EndCard } from "./EndCard";
import { LossCard } from "./LossCard";
import { factGroups, packagesOf } from "./metadata";
import { FactsCard } from "./FactsCard";
import { PackagesCard } from "./PackagesCard";
import { mapIn, type RunData } from "./runData";
import type { RunPageProps } from "./RunPage";
import { ValueCard } from "./ValueCard";

/** What went in, what came out, where it ran, and first of all what went wrong. */
export function Overview({ run, state, onChange }: RunPageProps & { readonly run: RunData }) {
  const config = useMap(run.config);
  const summary = useMap(run.summaryMetrics);
  const metadata = useMap(run.metadata);
  const groups = useMemo(() => factGroups(metadata), [metadata]);
  const packages = useMemo(() => packagesOf(metadata), [metadata]);
  const tree = { toggled: state.toggled, onToggle: (toggled: readonly string[]) => onChange({ toggled }) };
  return (
    <div className="ep-overview">
      <div className="ep-overview-main">
        <EndCard run={run} onOpenLogs={() => onChange({ tab: "logs" })} />
        <LossCard losses={run.losses} />
        {run.notes !== null && run.notes !== "" && (
          <section className="ep-card ep-notes" aria-label="Notes">
            <h2>Notes</h2>
            <p>{run.notes}</p>
          </section>
        )}
        <div className="ep-overview-values">
          <ValueCard
            title="Config"
            name="config"
            value={config}
            search={state.config}
            onSearch={(text) => onChange({ config: text })}
            empty="Nothing was given as config. Settings land here with init(config={…}) or run.config."
            {...tree}
          />
          <ValueCard
            title="Summary"
            name="summary"
            value={summary}
            search={state.summary}
            onSearch={(text) => onChange({ summary: text })}
            empty={
              isAlive(run.state)
                ? "Nothing yet. The last value of each metric lands here as it is logged."
                : "Nothing was logged."
            }
            {...tree}
          />
        </div>
      </div>
      <aside className="ep-overview-side" aria-label="Surroundings">
        {groups.map((group) => (
          <FactsCard key={group.title} group={group} />
        ))}
        <PackagesCard
          packages={packages}
          search={state.packages}
          onSearch={(text) => onChange({ packages: text })}
          {...tree}
        />
      </aside>
    </div>
  );
}

/** The map in a JSON text, read once; what does not change between answers stays the same object. */
function useMap(text: string): JsonMap {
  return useMemo(() => mapIn(text), [text]);
}
