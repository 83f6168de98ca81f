import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";

import { createKeptStore, createStore } from "@/base/store";
import { LiveFeed } from "@/data/live";
import { createQueryClient } from "@/data/queries";
import { SeriesStore } from "@/data/seriesStore";
import { type Layout, type ProjectRef, type Services, ServicesContext } from "@/data/services";
import { askSeries } from "@/wire/client";

import { createAppRouter } from "./router";

/** On a narrow window the panels come first. */
const NARROW_PX = 720;
const DEFAULT_LAYOUT: Layout = { isSidebarFolded: window.innerWidth < NARROW_PX, sidebarPx: 320 };

function isLayout(value: unknown): value is Layout {
  const { isSidebarFolded, sidebarPx } = value as Partial<Record<keyof Layout, unknown>>;
  return typeof isSidebarFolded === "boolean" && typeof sidebarPx === "number";
}

function createServices(): Services {
  const queries = createQueryClient();
  const stores = new Map<string, SeriesStore>();
  const seriesOf = ({ entity, project }: ProjectRef) => {
    const name = `${entity}/${project}`;
    let store = stores.get(name);
    if (store === undefined) {
      const ask = (asked: Parameters<typeof askSeries>[0]["queries"]) =>
        askSeries({ entity, project, queries: asked });
      store = new SeriesStore(ask, () => performance.now());
      stores.set(name, store);
    }
    return store;
  };
  return {
    queries,
    live: new LiveFeed(queries),
    highlight: createStore<string | null>(null),
    layout: createKeptStore("epochal.layout", DEFAULT_LAYOUT, isLayout),
    seriesOf,
  };
}

const services = createServices();
const router = createAppRouter();

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}

/** The whole app: what every part shares, and the page that the address names. */
export function App() {
  return (
    <QueryClientProvider client={services.queries}>
      <ServicesContext.Provider value={services}>
        <RouterProvider router={router} />
      </ServicesContext.Provider>
    </QueryClientProvider>
  );
}
