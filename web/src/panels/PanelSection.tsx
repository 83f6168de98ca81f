import { formatCount } from "@/base/format";
import { own } from "@/base/own";
import type { Section } from "@/base/sections";
import { visibleText } from "@/base/text";
import { IconButton } from "@/ui/Button";
import { Icon } from "@/ui/Icon";

import { PanelCard, type PanelCardProps } from "./PanelCard";
import type { PanelSpec } from "./panelSpec";
import { useOnScreen } from "./useOnScreen";

interface PanelSectionProps extends Omit<PanelCardProps, "panel"> {
  readonly section: Section<PanelSpec>;
  /** Panels side by side. */
  readonly nColumns: number;
  readonly isFolded: boolean;
}

const ROWS = 2;
const NEAR_PX = 600;

/** A titled group of panels, a page of them at a time; folded or off screen it costs its title. */
export function PanelSection({ section, nColumns, isFolded, ...card }: PanelSectionProps) {
  const { state, onChange } = card;
  const [body, isOnScreen] = useOnScreen<HTMLDivElement>(NEAR_PX);
  const { name, keys: panels } = section;
  const perPage = nColumns * ROWS;
  const nPages = Math.max(Math.ceil(panels.length / perPage), 1);
  const page = Math.min(Math.max(own(state.page, name) ?? 0, 0), nPages - 1);
  const shown = panels.slice(page * perPage, (page + 1) * perPage);
  const toggle = () =>
    onChange({
      fold: state.fold.includes(name) ? state.fold.filter((other) => other !== name) : [...state.fold, name],
    });
  const turn = (to: number) => {
    const others = Object.entries(state.page).filter(([other]) => other !== name);
    onChange({ page: Object.fromEntries(to === 0 ? others : [...others, [name, to]]) });
  };
  return (
    <section className="ep-section" aria-label={name}>
      <header className="ep-section-head">
        <button type="button" className="ep-section-title" aria-expanded={!isFolded} onClick={toggle}>
          <Icon name={isFolded ? "chevronRight" : "chevronDown"} />
          <h2>{visibleText(name)}</h2>
          <span className="ep-section-count">{formatCount(panels.length)}</span>
        </button>
        {!isFolded && nPages > 1 && (
          <div className="ep-pager">
            <IconButton
              icon="chevronLeft"
              label="Page before"
              disabled={page === 0}
              onClick={() => turn(page - 1)}
            />
            <span>{`${page + 1} / ${nPages}`}</span>
            <IconButton
              icon="chevronRight"
              label="Next page"
              disabled={page === nPages - 1}
              onClick={() => turn(page + 1)}
            />
          </div>
        )}
      </header>
      {!isFolded && (
        <div
          ref={body}
          className="ep-section-body"
          data-columns={nColumns}
          data-rows={Math.ceil(shown.length / nColumns)}
        >
          {isOnScreen && shown.map((panel) => <PanelCard key={panel.id} {...card} panel={panel} />)}
        </div>
      )}
    </section>
  );
}
