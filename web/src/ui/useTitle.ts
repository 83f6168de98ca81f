import { useEffect } from "react";

/** Names the page in the browser's tab and history while the component is on it. */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${title} · Epochal`;
    return () => {
      document.title = "Epochal";
    };
  }, [title]);
}
