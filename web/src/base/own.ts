/** A record's own value: a metric may be called `constructor`, which every object has from its prototype. */
export function own<Value>(record: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
