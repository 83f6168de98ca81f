/** The server's stream of changes, as an object that says what changed and whether it is connected. */

export type Changed = "history" | "system" | "console" | "summary" | "run" | "keys" | "alerts";

/** What one run has new. */
export interface Change {
  readonly entity: string;
  readonly project: string;
  readonly run: string;
  readonly what: readonly Changed[];
  readonly last_step: number | null;
}

export interface LiveHandlers {
  readonly onChange: (change: Change) => void;
  /** Events may have been missed: whatever is on the page may be old. */
  readonly onReset: () => void;
  readonly onConnected: (isConnected: boolean) => void;
}

const RETRY_MS = 2000;
/** So that looking at another tab for a moment costs nothing. */
const HIDDEN_GRACE_MS = 5000;

/**
 * Follows the changes of a project, or of all projects.  The browser reconnects a dropped stream by
 * itself and sends the cursor; a stream that the server refused is opened again here.
 *
 * A tab that nobody sees has no stream: a browser gives one server six connections in all, and the
 * seventh tab would wait for its first page for ever.
 *
 * @returns a function that ends it.
 */
export function followChanges(
  scope: { readonly entity: string; readonly project: string } | null,
  handlers: LiveHandlers,
): () => void {
  const query = scope === null ? "" : `?${new URLSearchParams({ ...scope }).toString()}`;
  let source: EventSource | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  const open = () => {
    const current = new EventSource(`/api/live${query}`);
    source = current;
    current.onopen = () => {
      handlers.onConnected(true);
      // What changed between the page's first questions and now was told to nobody.
      handlers.onReset();
    };
    current.onerror = () => {
      handlers.onConnected(false);
      if (current.readyState !== EventSource.CLOSED) return;
      timer = setTimeout(open, RETRY_MS);
    };
    current.addEventListener("change", (event) => {
      handlers.onChange(JSON.parse((event as MessageEvent<string>).data) as Change);
    });
    current.addEventListener("reset", handlers.onReset);
  };

  const close = () => {
    source?.close();
    source = undefined;
  };
  const onVisibility = () => {
    clearTimeout(timer);
    if (document.hidden) timer = setTimeout(close, HIDDEN_GRACE_MS);
    else if (source === undefined || source.readyState === EventSource.CLOSED) open();
  };

  document.addEventListener("visibilitychange", onVisibility);
  if (!document.hidden) open();
  return () => {
    document.removeEventListener("visibilitychange", onVisibility);
    clearTimeout(timer);
    close();
  };
}
