import { useServerInfo } from "@/data/queries";
import { CodeBlock, Message } from "@/ui/messages";

interface EmptyProjectProps {
  readonly title: string;
  readonly name: string;
}

/** What a project without runs says: the lines that would fill it. */
export function EmptyProject({ title, name }: EmptyProjectProps) {
  const { data } = useServerInfo();
  const folder = data?.serverInfo.runsFolder;
  const code = [
    "import epochal",
    "",
    `run = epochal.init(project=${JSON.stringify(name)})`,
    "for step in range(1000):",
    '    run.log({"loss": 1 / (step + 1)})',
    "run.finish()",
  ].join("\n");
  return (
    <Message title={title}>
      <p>Run this, and its curve appears here while it is drawn:</p>
      <CodeBlock code={code} />
      {folder != null && (
        <p>
          This server shows the runs in <code>{folder}</code>.
        </p>
      )}
    </Message>
  );
}
