import type { KeyboardEvent, Ref } from "react";

import { IconButton } from "./Button";
import { Icon } from "./Icon";

interface SearchBoxProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly placeholder: string;
  /** Why the text is not what the person may think it is, such as an expression that does not compile. */
  readonly problem?: string | null;
  /** The key that jumps here. */
  readonly shortcut?: string;
  readonly onKeyDown?: (event: KeyboardEvent<HTMLInputElement>) => void;
  readonly ref?: Ref<HTMLInputElement>;
}

/** A search field; Escape empties it, then leaves it. */
export function SearchBox({
  value,
  onChange,
  placeholder,
  problem,
  shortcut,
  onKeyDown,
  ref,
}: SearchBoxProps) {
  const handleKey = (event: KeyboardEvent<HTMLInputElement>) => {
    onKeyDown?.(event);
    if (event.key !== "Escape") return;
    if (value === "") event.currentTarget.blur();
    else onChange("");
  };
  return (
    <label className="ep-search" data-invalid={problem != null} title={problem ?? undefined}>
      <Icon name="search" />
      <input
        ref={ref}
        type="text"
        value={value}
        placeholder={placeholder}
        aria-label={placeholder}
        aria-invalid={problem != null}
        spellCheck={false}
        autoComplete="off"
        onChange={(event) => onChange(event.target.value)}
        onKeyDown={handleKey}
      />
      {value !== "" && <IconButton icon="close" label="Clear" onClick={() => onChange("")} />}
      {value === "" && shortcut !== undefined && <kbd>{shortcut}</kbd>}
    </label>
  );
}

interface SelectProps {
  readonly label: string;
  /** The choice says enough by itself; only screen readers get the name. */
  readonly isLabelHidden?: boolean;
  readonly value: string;
  readonly groups: readonly {
    readonly title?: string;
    readonly options: readonly { readonly value: string; readonly text: string }[];
  }[];
  readonly onChange: (value: string) => void;
}

/** A choice of one from a list, with its name in front. */
export function Select({ label, isLabelHidden = false, value, groups, onChange }: SelectProps) {
  const options = (of: SelectProps["groups"][number]) =>
    of.options.map((option) => (
      <option key={option.value} value={option.value}>
        {option.text}
      </option>
    ));
  return (
    <label className="ep-select">
      {!isLabelHidden && label}
      <select aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
        {groups.map((group, index) =>
          group.title === undefined ? (
            options(group)
          ) : (
            <optgroup key={index} label={group.title}>
              {options(group)}
            </optgroup>
          ),
        )}
      </select>
      <Icon name="chevronDown" />
    </label>
  );
}

interface SliderProps {
  readonly label: string;
  readonly value: number;
  readonly max: number;
  readonly step: number;
  readonly text: string;
  readonly onChange: (value: number) => void;
}

/** A number from 0 to `max`, by mouse or arrow keys. */
export function Slider({ label, value, max, step, text, onChange }: SliderProps) {
  return (
    <label className="ep-slider">
      {label}
      <input
        type="range"
        min={0}
        max={max}
        step={step}
        value={value}
        aria-valuetext={text}
        onChange={(event) => onChange(event.target.valueAsNumber)}
      />
      <output>{text}</output>
    </label>
  );
}

interface TickProps {
  readonly isOn: boolean;
  readonly label: string;
  readonly onToggle: () => void;
  readonly isTabStop?: boolean;
}

/** A tick box. */
export function Tick({ isOn, label, onToggle, isTabStop = true }: TickProps) {
  return (
    <button
      type="button"
      role="checkbox"
      className="ep-tick"
      aria-checked={isOn}
      aria-label={label}
      tabIndex={isTabStop ? 0 : -1}
      onClick={onToggle}
    >
      <Icon name="check" />
    </button>
  );
}
