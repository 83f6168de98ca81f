import { useEffect, useState } from "react";

/** The time, renewed every `intervalMs` while the page is seen; 0 keeps the time of the first render. */
export function useNow(intervalMs: number): Date {
  const [now, setNow] = useState(() => new Date());
  useEffect(() => {
    if (intervalMs === 0) return;
    const timer = setInterval(() => {
      if (!document.hidden) setNow(new Date());
    }, intervalMs);
    return () => clearInterval(timer);
  }, [intervalMs]);
  return now;
}
