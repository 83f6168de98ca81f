import { useServerInfo } from "@/data/queries";
import { CodeBlock, Message } from "@/ui/messages";

import { FIRST_RUN } from "./firstRun";

/** What fills this page: the five lines that log a first run, and the folder where it will be found. */
export function FirstProject() {
  const folder = useServerInfo().data?.serverInfo.runsFolder;
  return (
    <Message title="No runs yet">
      <p>Run these lines, or change the import in a W&amp;B script. The project shows up here by itself.</p>
      <CodeBlock code={FIRST_RUN} />
      {folder != null && (
        <p className="ep-watched">
          Runs are picked up from <code>{folder}</code>
        </p>
      )}
    </Message>
  );
}
