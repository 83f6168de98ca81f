import { type ReactNode, useState } from "react";

import { Button, IconButton } from "./Button";
import { Icon, type IconName } from "./Icon";

interface MessageProps {
  readonly title: string;
  readonly children?: ReactNode;
}

/** What a page says where its content would be: nothing here yet, or what went wrong. */
export function Message({ title, children }: MessageProps) {
  return (
    <section className="ep-message">
      <h2>{title}</h2>
      {children}
    </section>
  );
}

/** Code to be copied as it stands. */
export function CodeBlock({ code }: { readonly code: string }) {
  const [isCopied, setCopied] = useState(false);
  const copy = () => {
    void navigator.clipboard.writeText(code).then(() => setCopied(true));
  };
  return (
    <div className="ep-code">
      <pre>{code}</pre>
      <IconButton icon={isCopied ? "check" : "copy"} label={isCopied ? "Copied" : "Copy"} onClick={copy} />
    </div>
  );
}

interface FailureProps {
  /** What failed. */
  readonly title: string;
  /** Why, and what to do. */
  readonly error: unknown;
  readonly onRetry: () => void;
}

/** A failure inside one panel or list; the rest of the page goes on. */
export function Failure({ title, error, onRetry }: FailureProps) {
  const { message, hint } = wordsOf(error);
  return (
    <div className="ep-failure" role="alert">
      <strong>
        <Icon name="alert" />
        {title}
      </strong>
      <p>{message}</p>
      {hint !== "" && <p>{hint}</p>}
      <Button onClick={onRetry}>
        <Icon name="retry" />
        Try again
      </Button>
    </div>
  );
}

/** What an error says to a person, whoever made it. */
export function wordsOf(error: unknown): { message: string; hint: string } {
  if (!(error instanceof Error)) return { message: String(error), hint: "" };
  const { hint } = error as { hint?: unknown };
  return { message: error.message, hint: typeof hint === "string" ? hint : "" };
}

/** A 2 px line on top of what is being loaded; it appears after 150 ms. */
export function Progress({ isOn }: { readonly isOn: boolean }) {
  return isOn ? <div className="ep-progress" role="progressbar" aria-label="Loading" /> : null;
}

interface StateMarkProps {
  readonly icon: IconName;
  readonly tone: "quiet" | "good" | "warn" | "bad";
  readonly word: string;
  /** Leave the word to the tooltip and to screen readers, where room is short. */
  readonly isCompact?: boolean;
}

/** A state as icon and word: colour alone never carries it. */
export function StateMark({ icon, tone, word, isCompact = false }: StateMarkProps) {
  return (
    <span className="ep-state" data-tone={tone} data-icon={icon} title={word}>
      <Icon name={icon} />
      <span className={isCompact ? "ep-visually-hidden" : undefined}>{word}</span>
    </span>
  );
}
