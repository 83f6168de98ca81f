import { Link, useParams } from "@tanstack/react-router";

import type { Connection } from "@/data/live";
import { useServerInfo } from "@/data/queries";
import { useServices, useStore } from "@/data/services";
import { IconButton } from "@/ui/Button";
import { Icon } from "@/ui/Icon";
import { useShortcut } from "@/ui/shortcuts";

import { type Theme, theme } from "./theme";

interface TopBarProps {
  readonly onSearch: () => void;
  readonly onKeys: () => void;
}

/** The bar on top: where one is, search, whether the page is live, theme, keys, who is asking. */
export function TopBar({ onSearch, onKeys }: TopBarProps) {
  return (
    <header className="ep-top">
      <FoldButton />
      <Crumbs />
      <button type="button" className="ep-top-search" onClick={onSearch}>
        <Icon name="search" />
        <span>Search</span>
        <kbd className="ep-key">{isMac() ? "⌘K" : "Ctrl K"}</kbd>
      </button>
      <div className="ep-top-end">
        <LiveMark />
        <ThemeButton />
        <IconButton icon="help" label="Keys (?)" onClick={onKeys} />
        <Me />
      </div>
    </header>
  );
}

function isMac(): boolean {
  return navigator.userAgent.includes("Mac");
}

function FoldButton() {
  const { layout } = useServices();
  const isFolded = useStore(layout, (value) => value.isSidebarFolded);
  const toggle = () => layout.set({ ...layout.get(), isSidebarFolded: !layout.get().isSidebarFolded });
  useShortcut("[", "Fold or unfold the runs list", toggle);
  return (
    <IconButton
      icon="sidebar"
      label={isFolded ? "Unfold the runs list ([)" : "Fold the runs list ([)"}
      aria-pressed={!isFolded}
      onClick={toggle}
    />
  );
}

function Crumbs() {
  const { entity, project, run } = useParams({ strict: false });
  return (
    <nav className="ep-crumbs" aria-label="Where you are">
      <Link to="/">{entity ?? "Epochal"}</Link>
      {entity !== undefined && project !== undefined && (
        <>
          <span aria-hidden>/</span>
          <Link to="/$entity/$project" params={{ entity, project }} data-here={run === undefined}>
            {project}
          </Link>
        </>
      )}
      {entity !== undefined && project !== undefined && run !== undefined && (
        <>
          <span aria-hidden>/</span>
          <Link to="/$entity/$project/runs/$run" params={{ entity, project, run }} data-here>
            <code>{run}</code>
          </Link>
        </>
      )}
    </nav>
  );
}

const CONNECTIONS: Readonly<Record<Connection, { word: string; hint: string }>> = {
  off: { word: "", hint: "" },
  connecting: { word: "connecting", hint: "Opening the stream of live updates" },
  live: { word: "live", hint: "New values appear here as they are logged" },
  lost: { word: "not live", hint: "The server does not answer; this page tries again by itself" },
};

function LiveMark() {
  const { live } = useServices();
  const connection = useStore(live.connection, (value) => value);
  const { word, hint } = CONNECTIONS[connection];
  if (word === "") return null;
  return (
    <span className="ep-live" data-connection={connection} title={hint} role="status">
      <i aria-hidden />
      <span>{word}</span>
    </span>
  );
}

const NEXT: Readonly<Record<Theme, Theme>> = { system: "light", light: "dark", dark: "system" };
const THEME_ICON = { system: "monitor", light: "sun", dark: "moon" } as const;
const THEME_WORD = { system: "as the system", light: "light", dark: "dark" } as const;

function ThemeButton() {
  const chosen = useStore(theme, (value) => value);
  const label = `Theme: ${THEME_WORD[chosen]}. Change to ${THEME_WORD[NEXT[chosen]]}`;
  return <IconButton icon={THEME_ICON[chosen]} label={label} onClick={() => theme.set(NEXT[chosen])} />;
}

function Me() {
  const { data } = useServerInfo();
  const name = data?.viewer?.username;
  if (name === undefined) return null;
  return (
    <span className="ep-me" title={`Signed in as ${name}. Epochal ${data?.serverInfo.version ?? ""}`}>
      {name.slice(0, 1).toUpperCase()}
    </span>
  );
}
