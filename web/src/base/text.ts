/** Returns a text in which control and direction-changing characters cannot disturb their surroundings. */
export function visibleText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f\u200b-\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}
