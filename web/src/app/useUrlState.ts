/** The state of a page that lives in its address, with undo. */
import { useNavigate } from "@tanstack/react-router";
import { useCallback, useLayoutEffect, useRef } from "react";

import { useShortcut } from "@/ui/shortcuts";

/**
 * Returns a function that changes the page's state in its address.  It replaces the entry in the
 * browser's history, so "back" leaves the page; `z` and `⇧z` go through the changes themselves.
 */
export function useUrlState<State extends object>(
  state: State,
  toSearch: (state: State) => object,
): (change: Partial<State>) => void {
  const navigate = useNavigate();
  const current = useRef(state);
  useLayoutEffect(() => {
    current.current = state;
  }, [state]);
  const undone = useRef<{ past: State[]; future: State[] }>({ past: [], future: [] });
  const go = useCallback(
    (next: State) => {
      // At once, so that a second change in the same moment builds on the first.
      current.current = next;
      void navigate({ to: ".", search: toSearch(next) as never, replace: true });
    },
    [navigate, toSearch],
  );
  const step = (from: "past" | "future", to: "past" | "future") => {
    const next = undone.current[from].pop();
    if (next === undefined) return;
    undone.current[to].push(current.current);
    go(next);
  };
  useShortcut("z", "Undo", () => step("past", "future"));
  useShortcut("Z", "Redo", () => step("future", "past"));
  return useCallback(
    (change) => {
      undone.current.past.push(current.current);
      undone.current.future = [];
      go({ ...current.current, ...change });
    },
    [go],
  );
}
