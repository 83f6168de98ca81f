import { visibleText } from "@/base/text";
import { stateLook } from "@/data/runState";
import { Button } from "@/ui/Button";
import { CopyButton } from "@/ui/CopyButton";
import { Icon } from "@/ui/Icon";

import { endSentence } from "./endSentence";
import type { RunData } from "./runData";

interface EndCardProps {
  readonly run: RunData;
  readonly onOpenLogs: () => void;
}

/** How a run ended, where it did not end well: first thing on its page. */
export function EndCard({ run, onOpenLogs }: EndCardProps) {
  const sentence = endSentence(run);
  if (sentence === null) return null;
  const look = stateLook(run.state);
  const traceback = run.exit?.traceback ?? "";
  return (
    <section className="ep-card ep-end" data-tone={look.tone} aria-label="How it ended">
      <header>
        <h2>
          <Icon name={look.icon} />
          {sentence.title}
        </h2>
        <Button onClick={onOpenLogs}>
          <Icon name="log" />
          Read the log
        </Button>
      </header>
      {sentence.details !== "" && <p>{visibleText(sentence.details)}</p>}
      {traceback !== "" && (
        <div className="ep-traceback">
          <pre tabIndex={0}>{traceback}</pre>
          <CopyButton label="Copy the traceback" text={() => traceback} />
        </div>
      )}
    </section>
  );
}
