import { countOf, formatBytes, formatCount } from "@/base/format";
import { visibleText } from "@/base/text";
import { Icon } from "@/ui/Icon";

import type { RunData } from "./runData";

/** What is missing of a run, told as it is: what could not be read or was never written, and where. */
export function LossCard({ losses }: Pick<RunData, "losses">) {
  if (losses.length === 0) return null;
  const damaged = losses.filter((loss) => loss.bytes > 0);
  const bytes = damaged.reduce((sum, loss) => sum + loss.bytes, 0);
  return (
    <section className="ep-card ep-end" data-tone="warn" aria-label="Damage">
      <header>
        <h2>
          <Icon name="alert" />
          {bytes > 0
            ? `${formatBytes(bytes)} of this run could not be read`
            : "Some of what this run logged was never written"}
        </h2>
      </header>
      <p>
        {damaged.length > 0 && `Its run log is damaged at ${countOf(damaged.length, "place")}. `}
        What was logged there is missing; everything before and after is here.
      </p>
      <ul className="ep-losses" tabIndex={0}>
        {losses.map((loss) => (
          <li key={`${loss.writer} ${loss.offset}`}>
            <code>{visibleText(loss.writer)}</code>
            <span>
              {loss.bytes > 0
                ? `byte ${formatCount(loss.offset)}, ${formatBytes(loss.bytes)} lost`
                : `byte ${formatCount(loss.offset)}`}
            </span>
            <span>{visibleText(loss.reason)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
