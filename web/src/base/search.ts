/** What a search box means: plain text, or a regular expression where the text is one. */

export interface Search {
  readonly matches: (text: string) => boolean;
  /** Why the text is no valid expression; it then searches as plain text. */
  readonly problem: string | null;
  /** Finds every match in a text, for marking; null for an empty search. */
  readonly expression: RegExp | null;
}

const EVERYTHING: Search = { matches: () => true, problem: null, expression: null };

/**
 * Returns the search for a text: case does not matter; `/…/` or any text with a metacharacter is a
 * regular expression, and one that does not compile yet is looked for as it stands.
 */
export function searchFor(text: string): Search {
  const query = text.trim();
  if (query === "") return EVERYTHING;
  const slashed = /^\/(.*)\/$/.exec(query)?.[1];
  const pattern = slashed ?? query;
  if (slashed === undefined && !/[\\^$*+?()[\]{}|]/.test(query)) return plain(query);
  try {
    const expression = new RegExp(pattern, "iu");
    return {
      matches: (candidate) => expression.test(candidate),
      problem: null,
      expression: new RegExp(pattern, "giu"),
    };
  } catch (error) {
    return { ...plain(pattern), problem: error instanceof Error ? error.message : String(error) };
  }
}

function plain(text: string): Search {
  const needle = text.toLowerCase();
  return {
    matches: (candidate) => candidate.toLowerCase().includes(needle),
    problem: null,
    expression: new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu"),
  };
}

/** Returns the search text as the server understands it: a regular expression stands between slashes. */
export function serverSearch(text: string): string | null {
  const query = text.trim();
  if (query === "") return null;
  if (/^\/.*\/$/.test(query)) return query;
  return /[\\^$*+?()[\]{}|]/.test(query) && searchFor(query).problem === null ? `/${query}/` : query;
}
