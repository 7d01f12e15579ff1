// The timer's two tables. Both hold lists under a key; a list without entries is not there.
//
// schedule: time (bigint) -> events that are due then. cancels: cancel token -> what it cancels.

/** Adds `item` to the list under `key`. */
export const addTo = (table, key, item) => {
  if (table.has(key)) {
    table.set(key, harden([...table.get(key), item]));
  } else {
    table.init(key, harden([item]));
  }
};

/** Takes `item` out of the list under `key`; no effect if it is not there. */
export const removeFrom = (table, key, item) => {
  if (!table.has(key)) {
    return;
  }
  const items = table.get(key);
  const left = items.filter(other => other !== item);
  if (left.length === 0) {
    table.delete(key);
  } else if (left.length < items.length) {
    table.set(key, harden(left));
  }
};

/** Takes the list under `key`. */
export const takeAll = (table, key) => {
  if (!table.has(key)) {
    return [];
  }
  const items = table.get(key);
  table.delete(key);
  return items;
};

/** The first time of the schedule, undefined if it is empty. */
export const firstTime = schedule => {
  for (const time of schedule.keys()) {
    return time;
  }
  return undefined;
};

/** Takes the events up to `now` off the schedule, soonest first. */
export const takeDue = (schedule, now) => {
  const due = [];
  for (let time = firstTime(schedule); time !== undefined && time <= now; time = firstTime(schedule)) {
    due.push(...takeAll(schedule, time));
  }
  return due;
};
