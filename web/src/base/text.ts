/**
 * What could disturb the surroundings of a text, or hide in it: control characters, line and paragraph
 * separators, changes of direction, spaces without width.  Joiners stay: words and emoji are made with them.
 */
const DISTURBING =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060\u2066-\u2069\ufeff]/g;

/** Returns a text in which every such character is a sign of its own. */
export function visibleText(text: string): string {
  return text.replace(DISTURBING, "\ufffd");
}

/** Returns a name as it stands in a list: one of spaces alone, or none, is named by what else is known. */
export function visibleName(name: string, instead: string): string {
  return name.trim() === "" ? instead : visibleText(name);
}
