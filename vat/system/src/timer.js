// The timer vat: wakeups at times, over the timer device. Its service is SwingSet's timer service, with
// the same methods and behaviour. Handlers, repeaters, notifiers and promises survive upgrades of this vat.
//
// A handler is an object with `wake(time)`. A cancel token is any object. `cancel(token)` ends all that it was given
// for.
//
// All that waits is in tables and in the device, and nothing is in the heap. A method that answers later lets the device
// keep its result (`deferResult`). The answers of repeaters' handlers are reported as messages (`wakeAndTell`). So
// strangers cannot fill anything that others need.
import { prepareExo, prepareExoClassKit } from '@agoric/vat-data';
import { b, Fail } from '@endo/errors';
import { Far } from '@endo/far';
import { Nat } from '@endo/nat';

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

/** Maximum number of events that one delivery fires, and of those that it cancels. */
const BATCH = 16;

/** Time after which a message of the vat to itself is taken to be lost, in seconds. */
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

  // The device knows one wakeup, that of the first event. The rest of earlier work is due at once.
  let armed;
  const arm = () => {
    const first = schedule.first();
    const next = cancels.isPending() ? 0n : first && timeOf(first);
    // Asks again for what is due. If the delivery of a wakeup was lost, the device no longer has it.
    if (next !== armed || (next !== undefined && next <= now())) {
      D(device).removeWakeup(wakeupHandler);
      armed = next;
      if (next !== undefined && next <= LAST_TIME) {
        D(device).setWakeup(next, wakeupHandler);
      }
    }
  };

  // The device's wakeup comes in the next block. In this block the vat goes on by a message to itself.
  let goesOnSince;
  const goOnLater = time => {
    if (goesOnSince === undefined || goesOnSince + PATIENCE < time) {
      goesOnSince = time;
      D(device).wakeSoon(continuation);
    }
  };

  // Nobody waits for the answer of such a handler.
  const wakeOnce = (handler, time) => {
    D(device).wakeSoon(handler, stamp(time));
  };

  // Events in the schedule: {handler, membership} of a handler that is woken once, {result, waiter,
  // membership} of a result that the device keeps, {repeater}. A waiter returns the settlement of a notifier's or an
  // iterator's result.

  const settle = ({ result, waiter }, isCancelled, time) => {
    if (waiter) {
      D(device).settleResult(result, false, isCancelled ? waiter.cancelled() : waiter.due());
    } else if (isCancelled) {
      D(device).settleResult(result, true, Error('TimerCancelled'));
    } else {
      D(device).settleResult(result, false, stamp(time));
    }
  };

  const fire = (event, time) => {
    const { handler, membership, repeater, result } = event;
    if (repeater !== undefined) {
      fireRepeater(repeater, time);
      return;
    }
    const isCancelled = cancels.leave(membership);
    if (result !== undefined) {
      settle(event, isCancelled, time);
    } else if (handler && !isCancelled) {
      wakeOnce(handler, time);
    }
  };

  // One event that fails must not hold up the others.
  const attempt = (act, ...args) => {
    try {
      act(...args);
    } catch (error) {
      console.log('timer: an event is left out:', reasonText(error));
    }
  };

  // Members of a group: {place} of an event, {repeater}, {canceller} of a notifier.
  const strike = ({ place, repeater, canceller }) => {
    if (canceller) {
      canceller.cancelled();
    } else if (repeater !== undefined) {
      const { place: next } = take(repeaters, repeater);
      if (next !== undefined) {
        schedule.take(next);
      }
    } else {
      const event = schedule.take(place);
      if (event.result !== undefined) {
        settle(event, true);
      }
    }
  };

  const attemptStrike = member => attempt(strike, member);

  const enlist = (when, cancelToken, makeEvent) => {
    const number = takeNumber();
    const place = placeAt(when, number);
    const membership = cancels.join(cancelToken, number, { place });
    schedule.add(place, { ...makeEvent(), membership });
    arm();
  };

  // Lets the device keep the current message's result until the time has come. The method must return at once, and its
  // own answer is ignored. A caller does this last, so that a refusal is answered.
  const answerAt = (when, cancelToken, waiter = undefined) => {
    enlist(when, cancelToken, () => {
      const result = D(device).deferResult();
      // A message whose result nobody waits for takes its place too, and does nothing.
      return { result, waiter };
    });
  };

  const wakeupAt = (when, cancelToken) => {
    insistToken(cancelToken);
    const time = now();
    if (when <= time) {
      return stamp(time);
    }
    answerAt(when, cancelToken);
    return undefined;
  };

  // A repeater: {start, every, handler, membership, place}. While its handler works, it is not in the schedule. A handler
  // that fails is not woken again.

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

  const endRepeater = repeater => {
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
    D(device).wakeAndTell(state.handler, continuation, repeater, stamp(time));
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
    cancels.cancel(token, attemptStrike, BATCH);
    arm();
    if (cancels.isPending()) {
      goOnLater(now());
    }
  };

  // Fires a batch of the events that are due.
  const work = () => {
    const time = now();
    for (let count = 0; count < BATCH; count += 1) {
      const place = schedule.first();
      if (place === undefined || timeOf(place) > time) {
        break;
      }
      attempt(fire, schedule.take(place), time);
    }
    cancels.goOn(attemptStrike, BATCH);
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
      // An object that is only a token.
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
    answerAt,
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
    // The device calls this when the handler of a repeater has answered.
    answered(repeater, isRejected) {
      if (isRejected) {
        endRepeater(repeater);
      } else {
        awaitBeat(repeater);
      }
    },
  });

  const timerService = prepareExo(baggage, 'timerService', undefined, {
    getCurrentTimestamp() {
      return stamp(now());
    },
    // Wakes the handler once, immediately if the time has passed. Returns the time that was asked for.
    setWakeup(whenTime, handler, cancelToken = undefined) {
      const when = absolute(whenTime);
      insistObject(handler, 'setWakeup() handler');
      insistToken(cancelToken);
      const time = now();
      if (when <= time) {
        wakeOnce(handler, time);
      } else {
        enlist(when, cancelToken, () => ({ handler }));
      }
      return stamp(when);
    },
    // Returns a promise for the time of the wakeup.
    wakeAt(when, cancelToken = undefined) {
      return wakeupAt(absolute(when), cancelToken);
    },
    delay(delta, cancelToken = undefined) {
      return wakeupAt(after(delta), cancelToken);
    },
    // Returns an object with schedule(handler) and disable().
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

  // Returns a clock, for those who may know the time and nothing else.
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
