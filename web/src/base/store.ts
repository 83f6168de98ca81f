/** A value that can be watched: state that changes too often, or too far away, for React to hold. */

export interface ReadableStore<T> {
  readonly get: () => T;
  readonly subscribe: (listener: () => void) => () => void;
}

export interface Store<T> extends ReadableStore<T> {
  /** Sets the value and tells the listeners, unless it is the same. */
  readonly set: (value: T) => void;
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set: (next) => {
      if (Object.is(next, value)) return;
      value = next;
      for (const listener of [...listeners]) listener();
    },
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** A store whose value is kept in this browser under a name; what is kept there and makes no sense is ignored. */
export function createKeptStore<T>(
  name: string,
  initial: T,
  isValid: (value: unknown) => value is T,
): Store<T> {
  const store = createStore(remembered(name, initial, isValid));
  store.subscribe(() => {
    try {
      localStorage.setItem(name, JSON.stringify(store.get()));
    } catch {
      // Storage may be full or forbidden; the value then lasts as long as the page.
    }
  });
  return store;
}

function remembered<T>(name: string, initial: T, isValid: (value: unknown) => value is T): T {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(name) ?? "null");
    return value !== null && isValid(value) ? value : initial;
  } catch {
    return initial;
  }
}
