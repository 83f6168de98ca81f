import { useStore } from "@/data/services";
import { Dialog } from "@/ui/Dialog";
import { type Shortcut, shortcuts } from "@/ui/shortcuts";

/** Keys that are not bound through the page but by the part that has the focus. */
const IN_PARTS: readonly Shortcut[] = [
  { key: "↑ ↓", does: "Go through the runs list" },
  { key: "Space", does: "Draw or hide the run" },
  { key: "Enter", does: "Open the run" },
  { key: "+ - ← → 0", does: "Zoom, move and reset the chart in focus" },
  { key: "Escape", does: "Leave a search, a dialog or the full screen" },
];

/** All keys that do something on this page. */
export function KeysSheet({ onClose }: { readonly onClose: () => void }) {
  const bound = useStore(shortcuts, (value) => value);
  const unique = [...new Map(bound.map((shortcut) => [shortcut.key, shortcut])).values()];
  return (
    <Dialog label="Keys" onClose={onClose} className="ep-keys">
      <h2>Keys</h2>
      <dl>
        {[...unique, ...IN_PARTS].map(({ key, does }) => (
          <div key={key}>
            <dt>
              <kbd className="ep-key">{keyLabel(key)}</kbd>
            </dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
    </Dialog>
  );
}

const ARROWS: Readonly<Record<string, string>> = { ArrowLeft: "←", ArrowRight: "→" };

/** A key as it is written on a keyboard; a capital letter is typed with shift. */
function keyLabel(key: string): string {
  if (key.startsWith("Mod+")) return `⌘ or Ctrl ${key.slice(4).toUpperCase()}`;
  if (key.length > 1) return ARROWS[key] ?? key;
  return key === key.toLowerCase() ? key.toUpperCase() : `⇧ ${key}`;
}
