import { useMemo } from "react";

import { countOf } from "@/base/format";
import { type JsonMap, writeJson } from "@/base/json";
import { searchFor } from "@/base/search";
import { CopyButton } from "@/ui/CopyButton";
import { SearchBox } from "@/ui/fields";

import { countLeaves, treeRows } from "./valueTree";
import { ValueTree } from "./ValueTree";

interface ValueCardProps {
  readonly title: string;
  /** Stands before the paths in `toggled`. */
  readonly name: string;
  readonly value: JsonMap;
  readonly search: string;
  readonly onSearch: (text: string) => void;
  readonly toggled: readonly string[];
  readonly onToggle: (toggled: readonly string[]) => void;
  /** What to say, and do, where there is no value at all. */
  readonly empty: string;
}

/** Config or summary: a tree of values that is searched by key or value. */
export function ValueCard({
  title,
  name,
  value,
  search,
  onSearch,
  toggled,
  onToggle,
  empty,
}: ValueCardProps) {
  const found = useMemo(() => searchFor(search), [search]);
  const rows = useMemo(() => {
    const prefix = `${name}:`;
    const paths = toggled.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
    return treeRows(value, { search: found, isEverything: search.trim() === "", toggled: new Set(paths) });
  }, [value, found, search, toggled, name]);
  const nValues = useMemo(() => countLeaves(value), [value]);
  return (
    <section className="ep-card" aria-label={title}>
      <header>
        <h2>{title}</h2>
        {value.size > 0 && <span className="ep-faint">{countOf(nValues, "value")}</span>}
        {value.size > 0 && (
          <>
            <SearchBox
              value={search}
              onChange={onSearch}
              placeholder={`Search ${title.toLowerCase()}`}
              problem={found.problem}
            />
            <CopyButton label={`Copy the ${title.toLowerCase()} as JSON`} text={() => writeJson(value)} />
          </>
        )}
      </header>
      {value.size === 0 && <p className="ep-card-none">{empty}</p>}
      {value.size > 0 && rows.length === 0 && <p className="ep-card-none">No key and no value matches.</p>}
      {rows.length > 0 && (
        <ValueTree
          label={title}
          rows={rows}
          onToggle={(path) => onToggle(withToggled(toggled, `${name}:${path}`))}
        />
      )}
    </section>
  );
}

/** The list with an entry added, or taken out if it was there. */
export function withToggled(toggled: readonly string[], id: string): string[] {
  return toggled.includes(id) ? toggled.filter((other) => other !== id) : [...toggled, id];
}
