import "./frame.css";

import { Link, Outlet, useParams } from "@tanstack/react-router";
import { useEffect, useState } from "react";

import { isSignedOut, useServerInfo } from "@/data/queries";
import { ErrorBoundary } from "@/ui/ErrorBoundary";
import { Icon } from "@/ui/Icon";
import { CodeBlock, Failure, Message } from "@/ui/messages";
import { listenForShortcuts, useShortcut } from "@/ui/shortcuts";

import { CommandPalette } from "./CommandPalette";
import { KeysSheet } from "./KeysSheet";
import { TopBar } from "./TopBar";

/** What is around every page: the bar on top, the way between pages on the left. */
export function Frame() {
  const [opened, setOpened] = useState<"palette" | "keys" | null>(null);
  const server = useServerInfo();
  const { entity, project } = useParams({ strict: false });
  const here = entity !== undefined && project !== undefined ? { entity, project } : null;
  useEffect(listenForShortcuts, []);
  useShortcut("Mod+k", "Search projects, runs and panels", () => setOpened("palette"));
  useShortcut("?", "Show all keys", () => setOpened("keys"));
  const close = () => setOpened(null);
  return (
    <div className="ep-frame">
      <TopBar onSearch={() => setOpened("palette")} onKeys={() => setOpened("keys")} />
      <nav className="ep-nav" aria-label="Pages">
        <Link
          to="/"
          className="ep-nav-link"
          aria-label="Projects"
          title="Projects"
          activeOptions={{ exact: true }}
        >
          <Icon name="folder" />
        </Link>
        {here !== null && (
          <Link
            to="/$entity/$project"
            params={here}
            className="ep-nav-link"
            aria-label="Workspace"
            title="Workspace"
            activeOptions={{ exact: true, includeSearch: false }}
          >
            <Icon name="chart" />
          </Link>
        )}
      </nav>
      <main className="ep-main">
        <ErrorBoundary
          key={JSON.stringify(here)}
          fallback={(error, retry) => <Failure title="This page failed" error={error} onRetry={retry} />}
        >
          {isSignedOut(server.error) ? <SignedOut /> : <Outlet />}
        </ErrorBoundary>
      </main>
      {opened === "palette" && <CommandPalette project={here} onClose={close} />}
      {opened === "keys" && <KeysSheet onClose={close} />}
    </div>
  );
}

function SignedOut() {
  return (
    <Message title="You are signed out">
      <p>
        This browser has no session on this server. Get a fresh sign-in link in a terminal and open it here:
      </p>
      <CodeBlock code="epochal link" />
    </Message>
  );
}
