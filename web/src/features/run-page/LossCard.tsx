import { countOf, formatBytes, formatCount } from "@/base/format";
import { visibleText } from "@/base/text";
import { Icon } from "@/ui/Icon";

import type { RunData } from "./runData";

/** Damage found in the files of a run, told as it is: what could not be read, and where. */
export function LossCard({ losses }: Pick<RunData, "losses">) {
  if (losses.length === 0) return null;
  const bytes = losses.reduce((sum, loss) => sum + loss.bytes, 0);
  return (
    <section className="ep-card ep-end" data-tone="warn" aria-label="Damage">
      <header>
        <h2>
          <Icon name="alert" />
          {`${formatBytes(bytes)} of this run could not be read`}
        </h2>
      </header>
      <p>
        {`Its run log is damaged at ${countOf(losses.length, "place")}. What was logged there is missing; `}
        everything before and after is here.
      </p>
      <ul className="ep-losses" tabIndex={0}>
        {losses.map((loss) => (
          <li key={`${loss.writer} ${loss.offset}`}>
            <code>{visibleText(loss.writer)}</code>
            <span>{`byte ${formatCount(loss.offset)}, ${formatBytes(loss.bytes)} lost`}</span>
            <span>{visibleText(loss.reason)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
