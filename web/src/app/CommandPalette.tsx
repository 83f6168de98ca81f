import { useNavigate } from "@tanstack/react-router";
import { type KeyboardEvent, useMemo, useState } from "react";

import { searchFor } from "@/base/search";
import { visibleName, visibleText } from "@/base/text";
import { useMetricKeys, useProjects, useRuns } from "@/data/queries";
import type { ProjectRef } from "@/data/services";
import { Dialog } from "@/ui/Dialog";
import { SearchBox } from "@/ui/fields";
import { Icon, type IconName } from "@/ui/Icon";

interface Item {
  readonly id: string;
  readonly icon: IconName;
  readonly text: string;
  readonly kind: string;
  readonly go: () => void;
}

interface CommandPaletteProps {
  /** The project on the page, whose runs and panels are searched too. */
  readonly project: ProjectRef | null;
  readonly onClose: () => void;
}

const NOWHERE: ProjectRef = { entity: "", project: "" };
const MAX_ITEMS = 40;

/** Goes to a project, a run or a panel by a few letters of its name. */
export function CommandPalette({ project, onClose }: CommandPaletteProps) {
  const [text, setText] = useState("");
  const [chosen, setChosen] = useState(0);
  const items = useItems(project);
  const found = useMemo(() => {
    const search = searchFor(text);
    return items.filter((item) => search.matches(item.text)).slice(0, MAX_ITEMS);
  }, [items, text]);
  const at = Math.min(chosen, found.length - 1);
  const go = (item: Item | undefined) => {
    if (item === undefined) return;
    onClose();
    item.go();
  };
  const handleKey = (event: KeyboardEvent) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move !== undefined) {
      event.preventDefault();
      setChosen((at + move + found.length) % Math.max(found.length, 1));
    } else if (event.key === "Enter") go(found[at]);
    else if (event.key === "Escape" && text === "") onClose();
  };
  return (
    <Dialog label="Search" onClose={onClose} className="ep-palette">
      <SearchBox
        value={text}
        onChange={(value) => {
          setText(value);
          setChosen(0);
        }}
        placeholder={project === null ? "Search projects" : "Search projects, runs and panels"}
        onKeyDown={handleKey}
      />
      <ul role="listbox" aria-label="Found">
        {found.map((item, index) => (
          <li
            key={item.id}
            role="option"
            aria-selected={index === at}
            onMouseMove={() => setChosen(index)}
            onClick={() => go(item)}
            ref={(element) => {
              if (index === at) element?.scrollIntoView({ block: "nearest" });
            }}
          >
            <Icon name={item.icon} />
            <span>{visibleText(item.text)}</span>
            <small>{item.kind}</small>
          </li>
        ))}
        {found.length === 0 && <li className="ep-palette-none">Nothing has that in its name.</li>}
      </ul>
    </Dialog>
  );
}

function useItems(here: ProjectRef | null): Item[] {
  const navigate = useNavigate();
  const projects = useProjects();
  const runs = useRuns(here ?? NOWHERE, "", "-created_at");
  const keys = useMetricKeys(here ?? NOWHERE, "history");
  return useMemo(() => {
    const found: Item[] = (projects.data?.edges ?? []).map(({ node }) => ({
      id: `project ${node.id}`,
      icon: "folder",
      text: `${node.entityName}/${node.name}`,
      kind: "project",
      go: () =>
        void navigate({
          to: "/$entity/$project",
          params: { entity: node.entityName, project: node.name },
          search: {},
        }),
    }));
    if (here === null) return found;
    for (const run of runs.list?.runs ?? []) {
      const params = { ...here, run: run.name };
      found.push({
        id: `run ${run.name}`,
        icon: "dot",
        text: visibleName(run.displayName, run.name),
        kind: "run",
        go: () => void navigate({ to: "/$entity/$project/runs/$run", params, search: {} }),
      });
    }
    for (const { key } of keys.data ?? []) {
      found.push({
        id: `panel ${key}`,
        icon: "chart",
        text: key,
        kind: "panel",
        go: () => void navigate({ to: "/$entity/$project", params: here, search: { full: key } }),
      });
    }
    return found;
  }, [navigate, projects.data, runs.list, keys.data, here]);
}
