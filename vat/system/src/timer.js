// The timer vat: wakeups at times, over the timer device. Its service is SwingSet's timer service, with
// the same methods and behaviour; handlers, repeaters and notifiers survive upgrades of this vat,
// promises of `wakeAt` and `delay` do not: they are rejected as disconnected.
//
// A handler is an object with `wake(time)`. A cancel token is any object: `cancel(token)` ends whatever
// it was given for.
import { prepareExo, prepareExoClassKit } from '@agoric/vat-data';
import { b, Fail, q } from '@endo/errors';
import { E, Far } from '@endo/far';
import { Nat } from '@endo/nat';
import { makePromiseKit } from '@endo/promise-kit';

import { reasonText } from './brief.js';
import { isObject } from './shapes.js';
import { prepareNotifierKit } from './timer-notifier.js';
import {
  placeAt,
  prepareCancels,
  prepareNumbers,
  prepareRepeaters,
  prepareSchedule,
  take,
  timeOf,
} from './timer-tables.js';
import { LAST_TIME, beats, fromRelativeTime, fromTimestamp, toTimestamp } from './time.js';

/** How many events one delivery fires, and how many it cancels. */
const BATCH = 16;

/** How many promises of wakeups lie in the heap at most, and how many answers of repeaters' handlers. */
const MAX_PROMISES = 3_000;

/** When a message of the vat to itself is taken to be lost, in seconds. */
const PATIENCE = 60n;

const insistObject = (value, what) => {
  isObject(value) || Fail`bad ${b(what)}`;
};

const insistToken = token => {
  token === undefined || insistObject(token, 'cancel token');
};

export const buildRootObject = ({ D }, _vatParameters, baggage) => {
  let device = baggage.has('timerDevice') ? baggage.get('timerDevice') : undefined;

  const takeNumber = prepareNumbers(baggage);
  const schedule = prepareSchedule(baggage);
  const cancels = prepareCancels(baggage, takeNumber);
  const repeaters = prepareRepeaters(baggage);
  // Number -> promise kit, for events of promises: of this incarnation alone.
  const wakeups = new Map();

  const now = () => {
    device || Fail`TimerService used before createTimerService()`;
    return Nat(D(device).getLastPolled());
  };

  const stamp = time => toTimestamp(time, timerBrand);
  const absolute = time => fromTimestamp(time, timerBrand);
  const span = delta => fromRelativeTime(delta, timerBrand);
  const interval = delta => {
    const natural = span(delta);
    natural > 0n || Fail`interval must be positive`;
    return natural;
  };
  const after = delta => {
    const time = now() + span(delta);
    time <= LAST_TIME || Fail`the time is too late: at most 2^128-1`;
    return time;
  };

  // The device knows one wakeup, that of the first event; what is left of earlier work is due at once.
  let armed;
  const arm = () => {
    const first = schedule.first();
    const next = cancels.isPending() ? 0n : first && timeOf(first);
    if (next !== armed) {
      D(device).removeWakeup(wakeupHandler);
      armed = next;
      if (next !== undefined && next <= LAST_TIME) {
        D(device).setWakeup(next, wakeupHandler);
      }
    }
  };

  // The device's wakeup comes in the next block. In this one the vat goes on by a message to itself.
  let goesOnSince;
  const goOnLater = time => {
    if (goesOnSince === undefined || goesOnSince + PATIENCE < time) {
      goesOnSince = time;
      D(device).wakeSoon(continuation);
    }
  };

  // Nobody waits for what such a handler answers: a promise of it would lie in the heap for as long as it likes.
  // In a turn of its own, as other messages are sent, so that all go out in one order.
  const wakeOnce = (handler, time) => {
    Promise.resolve()
      .then(() => D(device).wakeSoon(handler, stamp(time)))
      .catch(error => console.log('timer: a handler cannot be woken:', reasonText(error)));
  };

  // Events stand in the schedule: {number, handler, membership} of a handler that is woken once, {number,
  // membership} of a promise, {repeater}.

  const settle = (number, method, value) => {
    const wakeup = wakeups.get(number);
    wakeups.delete(number);
    wakeup?.[method](value);
  };

  const fire = ({ number, handler, membership, repeater }, time) => {
    if (repeater !== undefined) {
      fireRepeater(repeater, time);
      return;
    }
    const isCancelled = cancels.leave(membership);
    if (isCancelled) {
      settle(number, 'reject', Error('TimerCancelled'));
    } else if (handler) {
      wakeOnce(handler, time);
    } else {
      settle(number, 'resolve', stamp(time));
    }
  };

  // Members of a group: {place} of an event, {repeater}, {canceller} of a notifier.
  const strike = ({ place, repeater, canceller }, number) => {
    if (canceller) {
      canceller.cancel();
    } else if (repeater !== undefined) {
      const { place: next } = take(repeaters, repeater);
      if (next !== undefined) {
        schedule.take(next);
      }
    } else {
      schedule.take(place);
      settle(number, 'reject', Error('TimerCancelled'));
    }
  };

  const enlist = (when, handler, cancelToken) => {
    const number = takeNumber();
    const place = placeAt(when, number);
    const membership = cancels.join(cancelToken, number, { place });
    schedule.add(place, { number, handler, membership });
    arm();
    return number;
  };

  const wakeupAt = (when, cancelToken) => {
    insistToken(cancelToken);
    const time = now();
    if (when <= time) {
      return stamp(time);
    }
    wakeups.size < MAX_PROMISES ||
      Fail`the timer keeps ${q(MAX_PROMISES)} promises already: set a wakeup for a handler, or try again later`;
    const wakeup = makePromiseKit();
    wakeups.set(enlist(when, undefined, cancelToken), wakeup);
    return wakeup.promise;
  };

  // A repeater: {start, every, handler, membership, place}. While its handler works it stands in no schedule; a
  // handler that fails is not woken again.

  let unanswered = 0;

  const awaitBeat = repeater => {
    if (repeaters.has(repeater)) {
      const state = repeaters.get(repeater);
      const { next } = beats(state.start, state.every, now());
      const place = placeAt(next.time, takeNumber());
      schedule.add(place, { repeater });
      repeaters.set(repeater, harden({ ...state, place }));
      arm();
    }
  };

  const endRepeater = (repeater, error) => {
    console.log('timer: a repeater ends, its handler failed:', reasonText(error));
    if (repeaters.has(repeater)) {
      cancels.leave(take(repeaters, repeater).membership);
    }
  };

  const fireRepeater = (repeater, time) => {
    const state = repeaters.get(repeater);
    if (cancels.isCancelled(state.membership)) {
      cancels.leave(state.membership);
      repeaters.delete(repeater);
      return;
    }
    repeaters.set(repeater, harden({ ...state, place: undefined }));
    if (unanswered >= MAX_PROMISES) {
      // A beat is left out while too many handlers have not answered.
      awaitBeat(repeater);
      return;
    }
    unanswered += 1;
    const answered = then => value => {
      unanswered -= 1;
      then(repeater, value);
    };
    E.when(E(state.handler).wake(stamp(time)), answered(awaitBeat), answered(endRepeater)).catch(
      error => console.log('timer: a repeater failed:', reasonText(error)),
    );
  };

  const repeat = (start, every, handler, cancelToken) => {
    insistObject(handler, 'handler');
    insistToken(cancelToken);
    const time = now();
    const repeater = takeNumber();
    const membership = cancels.join(cancelToken, repeater, { repeater });
    repeaters.init(repeater, harden({ start, every, handler, membership, place: undefined }));
    if (start === time) {
      fireRepeater(repeater, time);
    } else {
      awaitBeat(repeater);
    }
  };

  const cancel = token => {
    cancels.cancel(token, strike, BATCH);
    arm();
    if (cancels.isPending()) {
      goOnLater(now());
    }
  };

  // Does a batch of what is due.
  const work = () => {
    const time = now();
    for (let count = 0; count < BATCH; count += 1) {
      const place = schedule.first();
      if (place === undefined || timeOf(place) > time) {
        break;
      }
      fire(schedule.take(place), time);
    }
    cancels.goOn(strike, BATCH);
    arm();
    if (armed !== undefined && armed <= time) {
      goOnLater(time);
    }
  };

  const makeRepeaterKit = prepareExoClassKit(
    baggage,
    'timerRepeater',
    undefined,
    (start, every) => ({ start, every, active: false }),
    {
      // Nothing but a token.
      cancelToken: {},
      repeater: {
        schedule(handler) {
          insistObject(handler, 'repeater.schedule() handler');
          !this.state.active || Fail`repeater already scheduled`;
          repeat(this.state.start, this.state.every, handler, this.facets.cancelToken);
          this.state.active = true;
        },
        disable() {
          if (this.state.active) {
            this.state.active = false;
            cancel(this.facets.cancelToken);
          }
        },
      },
    },
  );

  const makeNotifierKit = prepareNotifierKit(baggage, {
    now,
    stamp,
    absolute,
    wakeupAt,
    join: (cancelToken, canceller) => cancels.join(cancelToken, takeNumber(), { canceller }),
  });

  const wakeupHandler = prepareExo(baggage, 'wakeupHandler', undefined, {
    wake() {
      armed = undefined;
      work();
    },
  });

  const continuation = prepareExo(baggage, 'continuation', undefined, {
    wake() {
      goesOnSince = undefined;
      work();
    },
  });

  const timerService = prepareExo(baggage, 'timerService', undefined, {
    getCurrentTimestamp() {
      return stamp(now());
    },
    // Wakes the handler once; at once if it is too late. Gives the time that was asked for.
    setWakeup(whenTime, handler, cancelToken = undefined) {
      const when = absolute(whenTime);
      insistObject(handler, 'setWakeup() handler');
      insistToken(cancelToken);
      const time = now();
      if (when <= time) {
        wakeOnce(handler, time);
      } else {
        enlist(when, handler, cancelToken);
      }
      return stamp(when);
    },
    // A promise for the time at which it was woken.
    wakeAt(when, cancelToken = undefined) {
      return wakeupAt(absolute(when), cancelToken);
    },
    delay(delta, cancelToken = undefined) {
      return wakeupAt(after(delta), cancelToken);
    },
    // An object with schedule(handler) and disable().
    makeRepeater(delta, every) {
      return makeRepeaterKit(after(delta), interval(every)).repeater;
    },
    repeatAfter(delta, every, handler, cancelToken = undefined) {
      repeat(after(delta), interval(every), handler, cancelToken);
    },
    makeNotifier(delta, every, cancelToken = undefined) {
      insistToken(cancelToken);
      return makeNotifierKit(after(delta), interval(every), cancelToken).notifier;
    },
    cancel(token) {
      insistObject(token, 'cancel token');
      cancel(token);
    },
    getClock() {
      return timerClock;
    },
    getTimerBrand() {
      return timerBrand;
    },
  });

  // For those who may know the time and nothing else.
  const timerClock = prepareExo(baggage, 'timerClock', undefined, {
    getCurrentTimestamp() {
      return stamp(now());
    },
    getTimerBrand() {
      return timerBrand;
    },
  });

  const timerBrand = prepareExo(baggage, 'timerBrand', undefined, {
    isMyTimerService(alleged) {
      return alleged === timerService;
    },
    isMyClock(alleged) {
      return alleged === timerClock;
    },
  });

  return Far('root', {
    createTimerService(timerDevice) {
      if (baggage.has('timerDevice')) {
        baggage.set('timerDevice', timerDevice);
      } else {
        baggage.init('timerDevice', timerDevice);
      }
      device = timerDevice;
      return timerService;
    },
  });
};
