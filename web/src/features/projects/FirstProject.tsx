import { useServerInfo } from "@/data/queries";
import { CodeBlock, Message } from "@/ui/messages";

const FIRST_RUN = `import epochal as wandb

with wandb.init(project="first-steps", config={"lr": 0.1}) as run:
    for step in range(100):
        run.log({"loss": 1 / (1 + step * run.config.lr)})`;

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
