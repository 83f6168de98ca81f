/** The state of the list of projects, as it stands in the address. */
import { searchFor } from "@/base/search";
import { compareNatural } from "@/base/sections";
import type { ProjectItem } from "@/wire/operations.gen";

export const PROJECT_ORDERS = ["active", "name", "runs", "running", "created"] as const;
export type ProjectOrder = (typeof PROJECT_ORDERS)[number];

export interface ProjectsState {
  readonly search: string;
  readonly order: ProjectOrder;
  /** The order from its other end. */
  readonly reversed: boolean;
}

export const DEFAULT_PROJECTS: ProjectsState = { search: "", order: "active", reversed: false };

/** Reads the state of the page; whatever is missing or makes no sense is as by default. */
export function parseProjects(search: Readonly<Record<string, unknown>>): ProjectsState {
  const text = search["search"];
  return {
    // A number in the address was typed as one and read as JSON.
    search: typeof text === "string" || typeof text === "number" ? String(text) : "",
    order: PROJECT_ORDERS.find((order) => order === search["order"]) ?? "active",
    reversed: search["reversed"] === true,
  };
}

/** Returns what differs from the defaults. */
export function projectsSearch(state: ProjectsState): Partial<ProjectsState> {
  const entries = Object.entries(state).filter(
    ([name, value]) => value !== DEFAULT_PROJECTS[name as keyof ProjectsState],
  );
  return Object.fromEntries(entries);
}

type Compare = (left: ProjectItem, right: ProjectItem) => number;

const nameOf = (project: ProjectItem) => `${project.entityName}/${project.name}`;
const byName: Compare = (left, right) => compareNatural(nameOf(left), nameOf(right));

/** What a person looks for first comes first: the newest, the largest, the first of the alphabet. */
const COMPARE: Readonly<Record<ProjectOrder, Compare>> = {
  active: (left, right) => right.lastActive.localeCompare(left.lastActive),
  name: byName,
  runs: (left, right) => right.runCount - left.runCount,
  running: (left, right) => right.runningCount - left.runningCount,
  created: (left, right) => right.createdAt.localeCompare(left.createdAt),
};

/** Returns the projects to show, in order. */
export function arrangeProjects(projects: readonly ProjectItem[], state: ProjectsState): ProjectItem[] {
  const search = searchFor(state.search);
  const compare = COMPARE[state.order];
  const found = projects.filter((project) => search.matches(nameOf(project)));
  found.sort((left, right) => compare(left, right) || byName(left, right));
  return state.reversed ? found.reverse() : found;
}
