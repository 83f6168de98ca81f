import { useEffect, useState } from "react";

import { IconButton } from "./Button";

interface CopyButtonProps {
  /** What is copied, said by the button: "Copy the run id". */
  readonly label: string;
  /** Made when it is asked for: it may be long. */
  readonly text: () => string;
}

const SHOWN_MS = 1500;

/** A button that puts a text on the clipboard, and says for a moment that it has. */
export function CopyButton({ label, text }: CopyButtonProps) {
  const [outcome, setOutcome] = useState<"copied" | "failed" | null>(null);
  useEffect(() => {
    if (outcome === null) return;
    const timer = setTimeout(() => setOutcome(null), SHOWN_MS);
    return () => clearTimeout(timer);
  }, [outcome]);
  const copy = () => {
    void copyText(text()).then((isCopied) => setOutcome(isCopied ? "copied" : "failed"));
  };
  const words = { copied: "Copied", failed: "The browser did not allow copying" };
  return (
    <IconButton
      icon={outcome === "copied" ? "check" : outcome === "failed" ? "alert" : "copy"}
      label={outcome === null ? label : words[outcome]}
      onClick={(event) => {
        event.stopPropagation();
        copy();
      }}
    />
  );
}

/** Puts a text on the clipboard; returns whether the browser allowed it. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

/** The old way, which works without a secure address such as https or 127.0.0.1. */
function copyBySelection(text: string): boolean {
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "ep-visually-hidden";
  document.body.append(field);
  field.select();
  // eslint-disable-next-line @typescript-eslint/no-deprecated -- nothing else works on such an address
  const isCopied = document.execCommand("copy");
  field.remove();
  return isCopied;
}
