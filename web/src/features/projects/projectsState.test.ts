import { expect, test } from "vitest";

import type { ProjectItem } from "@/wire/operations.gen";

import {
  arrangeProjects,
  DEFAULT_PROJECTS,
  parseProjects,
  type ProjectsState,
  projectsSearch,
} from "./projectsState";

function project(name: string, day: number, runCount: number, runningCount = 0): ProjectItem {
  const date = `2026-01-${String(day).padStart(2, "0")}T00:00:00Z`;
  return { id: name, name, entityName: "local", createdAt: date, lastActive: date, runCount, runningCount };
}

const PROJECTS = [project("net-10", 3, 5), project("net-2", 1, 50, 2), project("digits", 2, 5)];
const names = (state: Partial<ProjectsState>) =>
  arrangeProjects(PROJECTS, { ...DEFAULT_PROJECTS, ...state }).map((each) => each.name);

test.each<[Partial<ProjectsState>, string[]]>([
  [{}, ["net-10", "digits", "net-2"]],
  [{ order: "name" }, ["digits", "net-2", "net-10"]],
  [{ order: "name", reversed: true }, ["net-10", "net-2", "digits"]],
  [{ order: "runs" }, ["net-2", "digits", "net-10"]],
  [{ order: "running" }, ["net-2", "digits", "net-10"]],
  [{ search: "net" }, ["net-10", "net-2"]],
  [{ search: "^local/net-\\d$" }, ["net-2"]],
])("arranged by %j", (state, expected) => {
  expect(names(state)).toEqual(expected);
});

test("what is in the address comes back the same, and nonsense is as by default", () => {
  const state: ProjectsState = { search: "7", order: "runs", reversed: true };
  expect(parseProjects({ ...projectsSearch(state), search: 7 })).toEqual(state);
  expect(projectsSearch(DEFAULT_PROJECTS)).toEqual({});
  expect(parseProjects({ search: [], order: "sideways", reversed: "yes" })).toEqual(DEFAULT_PROJECTS);
});
