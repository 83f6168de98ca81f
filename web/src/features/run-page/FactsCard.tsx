import { visibleText } from "@/base/text";
import { CopyButton } from "@/ui/CopyButton";

import type { FactGroup } from "./metadata";

/** A few recorded facts; code among them can be copied. */
export function FactsCard({ group }: { readonly group: FactGroup }) {
  if (group.facts.every(({ text }) => text === null)) {
    return (
      <section className="ep-card" aria-label={group.title}>
        <header>
          <h2>{group.title}</h2>
          <span className="ep-faint">not recorded</span>
        </header>
      </section>
    );
  }
  return (
    <section className="ep-card" aria-label={group.title}>
      <header>
        <h2>{group.title}</h2>
      </header>
      <dl className="ep-facts">
        {group.facts.map(({ label, text, isCode = false }, index) => (
          <div key={`${label} ${index}`}>
            <dt>{visibleText(label)}</dt>
            <dd>
              {text === null && <span className="ep-faint">not recorded</span>}
              {text !== null &&
                (isCode ? <code>{visibleLines(text)}</code> : <span>{visibleLines(text)}</span>)}
              {text !== null && isCode && <CopyButton label={`Copy: ${label}`} text={() => text} />}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}

/** Text in which only line breaks keep their meaning. */
function visibleLines(text: string): string {
  return text.split("\n").map(visibleText).join("\n");
}
