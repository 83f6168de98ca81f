/** Which address shows which page. */
import {
  Link,
  createRootRoute,
  createRoute,
  createRouter,
  lazyRouteComponent,
  type ErrorComponentProps,
} from "@tanstack/react-router";

import { parseProjects, projectsSearch } from "@/features/projects/projectsState";
import { parseRunPage, runPageSearch } from "@/features/run-page/runPageState";
import { parseWorkspace, workspaceSearch } from "@/features/workspace/workspaceState";
import { Failure, Message } from "@/ui/messages";

import { Frame } from "./Frame";

const root = createRootRoute({ component: Frame, notFoundComponent: NoSuchPage });

// Searches hold only what differs from the defaults, so that an untouched page has a short address.
const projects = createRoute({
  getParentRoute: () => root,
  path: "/",
  validateSearch: (search: Record<string, unknown>) => projectsSearch(parseProjects(search)),
  component: lazyRouteComponent(() => import("./pages/ProjectsRoute"), "ProjectsRoute"),
});

const workspace = createRoute({
  getParentRoute: () => root,
  path: "/$entity/$project",
  validateSearch: (search: Record<string, unknown>) => workspaceSearch(parseWorkspace(search)),
  component: lazyRouteComponent(() => import("./pages/WorkspaceRoute"), "WorkspaceRoute"),
});

const runPage = createRoute({
  getParentRoute: () => root,
  path: "/$entity/$project/runs/$run",
  validateSearch: (search: Record<string, unknown>) => runPageSearch(parseRunPage(search)),
  component: lazyRouteComponent(() => import("./pages/RunRoute"), "RunRoute"),
});

/** Makes the router of the app; its routes are the addresses that links may name. */
export function createAppRouter() {
  return createRouter({
    routeTree: root.addChildren([projects, workspace, runPage]),
    defaultPreload: "intent",
    defaultErrorComponent: PageFailure,
    scrollRestoration: false,
  });
}

function NoSuchPage() {
  return (
    <Message title="There is no such page">
      <p>
        The address names nothing that this server has. <Link to="/">Go to your projects</Link>
      </p>
    </Message>
  );
}

function PageFailure({ error, reset }: ErrorComponentProps) {
  return <Failure title="This page failed" error={error} onRetry={reset} />;
}
