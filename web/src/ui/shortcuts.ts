/** Keys that do something wherever the focus is, but never while a text is being typed. */
import { useEffect, useRef } from "react";

import { createStore, type ReadableStore } from "@/base/store";

export interface Shortcut {
  /** As `KeyboardEvent.key` gives it; "Mod+k" is ⌘K on a Mac and Ctrl+K elsewhere. */
  readonly key: string;
  /** What it does, for the sheet of keys. */
  readonly does: string;
}

interface Bound extends Shortcut {
  readonly handle: () => void;
}

const bound = createStore<readonly Bound[]>([]);

/** The shortcuts of the page as it is now. */
export const shortcuts: ReadableStore<readonly Shortcut[]> = bound;

/** Binds a key while the component is on the page; of two for one key the newer one wins. */
export function useShortcut(key: string, does: string, handle: () => void): void {
  const latest = useRef(handle);
  useEffect(() => {
    latest.current = handle;
  });
  useEffect(() => {
    const entry: Bound = { key, does, handle: () => latest.current() };
    bound.set([...bound.get(), entry]);
    return () => bound.set(bound.get().filter((other) => other !== entry));
  }, [key, does]);
}

/** Starts listening for keys. Returns a function that stops it. */
export function listenForShortcuts(): () => void {
  const handle = (event: KeyboardEvent) => {
    const hasMod = event.metaKey || event.ctrlKey;
    const key = hasMod ? `Mod+${event.key.toLowerCase()}` : event.key;
    if (event.defaultPrevented || (!hasMod && isTyping(event.target))) return;
    const match = bound.get().findLast((entry) => entry.key === key);
    if (match === undefined) return;
    event.preventDefault();
    match.handle();
  };
  window.addEventListener("keydown", handle);
  return () => window.removeEventListener("keydown", handle);
}

function isTyping(target: EventTarget | null): boolean {
  if (!(target instanceof HTMLElement)) return false;
  if (target.closest("dialog") !== null) return true;
  return target.matches("input:not([type=range]), textarea, select, [contenteditable]");
}
