import { useMemo } from "react";

import { countOf } from "@/base/format";
import { searchFor } from "@/base/search";
import { CopyButton } from "@/ui/CopyButton";
import { SearchBox } from "@/ui/fields";
import { Icon } from "@/ui/Icon";

import { withToggled } from "./ValueCard";

interface PackagesCardProps {
  readonly packages: readonly (readonly [name: string, version: string])[];
  readonly search: string;
  readonly onSearch: (text: string) => void;
  readonly toggled: readonly string[];
  readonly onToggle: (toggled: readonly string[]) => void;
}

const ID = "packages";

/** The installed packages, folded: a few hundred of them that are rarely read, and searched when they are. */
export function PackagesCard({ packages, search, onSearch, toggled, onToggle }: PackagesCardProps) {
  const isOpen = toggled.includes(ID);
  const found = useMemo(() => {
    const { matches } = searchFor(search);
    return packages.filter(([name, version]) => matches(`${name}==${version}`));
  }, [packages, search]);
  const listing = () => packages.map(([name, version]) => `${name}==${version}\n`).join("");
  return (
    <section className="ep-card" aria-label="Packages">
      <header>
        <button
          type="button"
          className="ep-fold"
          aria-expanded={isOpen}
          disabled={packages.length === 0}
          onClick={() => onToggle(withToggled(toggled, ID))}
        >
          <Icon name={isOpen ? "chevronDown" : "chevronRight"} />
          <h2>Packages</h2>
        </button>
        <span className="ep-faint">
          {packages.length === 0 ? "not recorded" : countOf(packages.length, "package")}
        </span>
        {packages.length > 0 && <CopyButton label="Copy as requirements" text={listing} />}
      </header>
      {isOpen && (
        <>
          <div className="ep-card-search">
            <SearchBox
              value={search}
              onChange={onSearch}
              placeholder="Search packages"
              problem={searchFor(search).problem}
            />
          </div>
          <dl className="ep-packages" tabIndex={0} aria-label="Installed packages">
            {found.map(([name, version]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{version}</dd>
              </div>
            ))}
            {found.length === 0 && <p className="ep-faint">No package has that in its name.</p>}
          </dl>
        </>
      )}
    </section>
  );
}
