// The timer's durable tables. Every operation takes the same few syscalls, however much is in them.
//
// schedule: place -> event. A place is a time and a number, as one bigint. So events are ordered by time, and those of
// one time by the order in which they were set.
// groups: cancel token -> group. A group is a table of its own, number -> member, of what the token cancels.
// cancelling: number -> group. Groups that were cancelled and have members left.
import { makeScalarBigMapStore, makeScalarBigWeakMapStore, provide } from '@agoric/vat-data';

const NUMBER_BITS = 64n;

/** Key in a group's table, after all numbers, which says that the group was cancelled. */
const CANCELLED = 'cancelled';

/** Returns the place of an event that has a time and a number. */
export const placeAt = (time, number) => (time << NUMBER_BITS) | number;

/** Returns the time of a place in the schedule. */
export const timeOf = place => place >> NUMBER_BITS;

/** Returns the first key of a table, or undefined if the table is empty. */
const firstKey = table => {
  for (const key of table.keys()) {
    return key;
  }
  return undefined;
};

/** Removes and returns the value under `key`. */
export const take = (table, key) => {
  const value = table.get(key);
  table.delete(key);
  return value;
};

const provideTable = (baggage, name) =>
  provide(baggage, name, () => makeScalarBigMapStore(name, { durable: true }));

/** Numbers, each of which is returned once in the life of the vat. */
export const prepareNumbers = baggage => {
  let next = provide(baggage, 'nextNumber', () => 1n);
  return () => {
    const number = next;
    next += 1n;
    baggage.set('nextNumber', next);
    return number;
  };
};

/** The events that wait for their time. */
export const prepareSchedule = baggage => {
  const schedule = provideTable(baggage, 'schedule');
  return harden({
    /** Returns the place of the first event, or undefined if there is none. */
    first: () => firstKey(schedule),
    /** Adds an event. */
    add(place, event) {
      schedule.init(place, harden(event));
    },
    take: place => take(schedule, place),
  });
};

/** The members of each cancel token's group. */
export const prepareCancels = (baggage, takeNumber) => {
  const groups = provide(baggage, 'groups', () =>
    makeScalarBigWeakMapStore('groups', { durable: true }),
  );
  const cancelling = provideTable(baggage, 'cancelling');

  const groupOf = token => {
    if (!groups.has(token)) {
      groups.init(token, makeScalarBigMapStore('group', { durable: true }));
    }
    return groups.get(token);
  };

  const firstMember = group => {
    const key = firstKey(group);
    return typeof key === 'bigint' ? key : undefined;
  };

  /** Hands up to `most` members to `strike`, in the order in which they came. Returns their number. */
  const strikeSome = (group, strike, most) => {
    let count = 0;
    let number = firstMember(group);
    while (number !== undefined && count < most) {
      strike(take(group, number), number);
      count += 1;
      number = firstMember(group);
    }
    return count;
  };

  const isLeft = group => firstMember(group) !== undefined;

  return harden({
    /** Lets a token cancel one more member. Returns its membership, or undefined without a token. */
    join(token, number, member) {
      if (token === undefined) {
        return undefined;
      }
      const group = groupOf(token);
      group.init(number, harden(member));
      return harden({ token, group, number });
    },
    /** Returns true if the token of a membership was cancelled, and this member has not been told yet. */
    isCancelled: membership => membership !== undefined && membership.group.has(CANCELLED),
    /** Ends a membership. Returns true if its group was cancelled, and this member has not been told yet. */
    leave(membership) {
      if (membership === undefined) {
        return false;
      }
      const { token, group, number } = membership;
      group.delete(number);
      if (group.has(CANCELLED)) {
        return true;
      }
      if (group.getSize() === 0) {
        groups.delete(token);
      }
      return false;
    },
    /** Cancels up to `most` members of a token at once, and leaves the others to `goOn`. */
    cancel(token, strike, most) {
      if (!groups.has(token)) {
        return;
      }
      const group = take(groups, token);
      strikeSome(group, strike, most);
      if (isLeft(group)) {
        group.init(CANCELLED, true);
        cancelling.init(takeNumber(), group);
      }
    },
    /** Cancels up to `most` members of the groups that have some left. */
    goOn(strike, most) {
      let count = 0;
      let first = firstKey(cancelling);
      while (first !== undefined && count < most) {
        const group = cancelling.get(first);
        // A group whose members have all left counts too, since it is read.
        count += Math.max(1, strikeSome(group, strike, most - count));
        if (isLeft(group)) {
          return;
        }
        cancelling.delete(first);
        first = firstKey(cancelling);
      }
    },
    /** Returns true if there is work for `goOn`. */
    isPending: () => firstKey(cancelling) !== undefined,
  });
};

/** The repeaters, by number. */
export const prepareRepeaters = baggage => provideTable(baggage, 'repeaters');
