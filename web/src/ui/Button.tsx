import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";

import { Icon, type IconName } from "./Icon";

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly kind?: "primary" | "plain";
  readonly children: ReactNode;
}

/** A button whose text is a verb. */
export function Button({ kind = "plain", children, ...rest }: ButtonProps) {
  return (
    <button type="button" className="ep-button" data-kind={kind} {...rest}>
      {children}
    </button>
  );
}

interface IconButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  readonly icon: IconName;
  /** Said by screen readers and shown on hover; name the key that does the same in brackets. */
  readonly label: string;
  readonly ref?: Ref<HTMLButtonElement>;
}

/** A button that is an icon, at least 24 px each way. */
export function IconButton({ icon, label, ...rest }: IconButtonProps) {
  return (
    <button type="button" className="ep-icon-button" aria-label={label} title={label} {...rest}>
      <Icon name={icon} />
    </button>
  );
}
