/** Line icons on a 16 px grid, drawn for this app; they take the colour of the text around them. */

const PATHS = {
  sidebar: "M2.5 3.5h11v9h-11zM6 3.5v9",
  search: "M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9ZM10.3 10.3l3.2 3.2",
  sun: "M8 10.8a2.8 2.8 0 1 0 0-5.6 2.8 2.8 0 0 0 0 5.6ZM8 1.5v1.3M8 13.2v1.3M1.5 8h1.3M13.2 8h1.3M3.4 3.4l.9.9M11.7 11.7l.9.9M12.6 3.4l-.9.9M4.3 11.7l-.9.9",
  moon: "M13 9.6A5.6 5.6 0 0 1 6.4 3 5.6 5.6 0 1 0 13 9.6Z",
  monitor: "M2 3h12v8H2zM5.5 13.5h5M8 11v2.5",
  chevronRight: "M6 3.5 10.5 8 6 12.5",
  chevronDown: "M3.5 6 8 10.5 12.5 6",
  arrowDown: "M8 3v9.5M4 8.5l4 4 4-4",
  download: "M8 2.5v7.5M4.5 6.5 8 10l3.5-3.5M3 13.5h10",
  chevronUp: "M3.5 10 8 5.5l4.5 4.5",
  chevronLeft: "M10 3.5 5.5 8l4.5 4.5",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3 8.5l3.2 3.2L13 4.8",
  alert: "M8 2.5 14 13H2L8 2.5ZM8 6.5v3M8 11.2v.1",
  stop: "M4.5 4.5h7v7h-7z",
  pause: "M5.5 4v8M10.5 4v8",
  bolt: "M8.8 2 4 9h3.5L7 14l5-7.5H8.5Z",
  quiet: "M3 8h.1M8 8h.1M13 8h.1",
  dot: "M8 11a3 3 0 1 0 0-6 3 3 0 0 0 0 6Z",
  maximise: "M9.5 2.5h4v4M6.5 13.5h-4v-4M13.5 2.5l-4.5 4.5M2.5 13.5 7 9",
  minimise: "M13.5 6.5h-4v-4M2.5 9.5h4v4M9.5 6.5 14 2M6.5 9.5 2 14",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v2.5h-2.5",
  folder: "M2 4h4l1.5 1.5H14v7.5H2Z",
  chart: "M2.5 2.5v11h11M5 10l2.5-3.5L10 9l3.5-5",
  help: "M6 6.2a2 2 0 1 1 2.8 1.8c-.6.3-.8.7-.8 1.3M8 11.7v.1",
  person: "M8 8a2.7 2.7 0 1 0 0-5.4A2.7 2.7 0 0 0 8 8ZM3 13.5c.5-2.5 2.5-4 5-4s4.5 1.5 5 4",
  log: "M3 10.5h6M3 7.5h10M3 4.5h8M3 13.5h4",
  reset: "M3 8a5 5 0 1 0 1.5-3.6M3 2.5v2.5h2.5",
  sliders:
    "M2.5 5h7M12.5 5h1M2.5 11h1M6.5 11h7M11 5m-1.5 0a1.5 1.5 0 1 0 3 0 1.5 1.5 0 1 0-3 0M5 11m-1.5 0a1.5 1.5 0 1 0 3 0 1.5 1.5 0 1 0-3 0",
  more: "M3.5 8h.1M8 8h.1M12.5 8h.1",
  eye: "M1.5 8S4 3.5 8 3.5 14.5 8 14.5 8 12 12.5 8 12.5 1.5 8 1.5 8ZM8 9.8a1.8 1.8 0 1 0 0-3.6 1.8 1.8 0 0 0 0 3.6Z",
} as const;

export type IconName = keyof typeof PATHS;

interface IconProps {
  readonly name: IconName;
  /** What the icon says, where no word beside it says the same. */
  readonly label?: string;
}

export function Icon({ name, label }: IconProps) {
  return (
    <svg
      className="ep-icon"
      viewBox="0 0 16 16"
      role={label === undefined ? "presentation" : "img"}
      aria-label={label}
      aria-hidden={label === undefined}
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
