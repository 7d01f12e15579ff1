// The timer vat: wakeups at times, over the timer device. Its service is SwingSet's timer service, with
// the same methods and behaviour; handlers, repeaters and notifiers survive upgrades of this vat,
// promises of `wakeAt` and `delay` do not: they are rejected as disconnected.
//
// A handler is an object with `wake(time)`. A cancel token is any object: `cancel(token)` ends whatever
// it was given for.
import {
  makeScalarBigMapStore,
  makeScalarBigWeakMapStore,
  prepareExo,
  prepareExoClass,
  prepareExoClassKit,
  provide,
} from '@agoric/vat-data';
import { b, Fail } from '@endo/errors';
import { E, Far, passStyleOf } from '@endo/far';
import { Nat } from '@endo/nat';
import { makePromiseKit } from '@endo/promise-kit';

import { addTo, firstTime, removeFrom, takeAll, takeDue } from './timer-tables.js';
import { beats, fromRelativeTime, fromTimestamp, toTimestamp } from './time.js';

const insistObject = (value, what) => {
  passStyleOf(value) === 'remotable' || Fail`bad ${b(what)}`;
};

const insistToken = token => {
  token === undefined || insistObject(token, 'cancel token');
};

export const buildRootObject = ({ D }, _vatParameters, baggage) => {
  let device = baggage.has('timerDevice') ? baggage.get('timerDevice') : undefined;

  const schedule = provide(baggage, 'schedule', () =>
    makeScalarBigMapStore('schedule', { durable: true }),
  );
  const cancels = provide(baggage, 'cancels', () =>
    makeScalarBigWeakMapStore('cancels', { durable: true }),
  );
  // Promise events -> promise kits, of this incarnation alone.
  const wakeups = new WeakMap();

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

  // The device knows one wakeup, that of the first event.
  const reschedule = () => {
    D(device).removeWakeup(wakeupHandler);
    const first = firstTime(schedule);
    if (first !== undefined) {
      D(device).setWakeup(first, wakeupHandler);
    }
  };

  const enlist = (event, time, cancelToken) => {
    addTo(schedule, time, event);
    if (cancelToken) {
      addTo(cancels, cancelToken, event);
    }
    reschedule();
  };

  const strike = (event, time) => {
    removeFrom(schedule, time, event);
    reschedule();
  };

  const wake = (handler, time) => E(handler).wake(stamp(time));

  // Events: what stands in the schedule. Each has `fired(now)`, after it was taken off the schedule, and
  // `cancel()`, after it was taken out of the cancels.

  const makeHandlerEvent = prepareExoClass(
    baggage,
    'oneShotEvent',
    undefined,
    (when, handler, cancelToken) => ({ when, handler, cancelToken }),
    {
      fired(time) {
        const { handler, cancelToken } = this.state;
        if (cancelToken) {
          removeFrom(cancels, cancelToken, this.self);
        }
        wake(handler, time).catch(error => console.log('timer: a handler failed', error));
      },
      cancel() {
        strike(this.self, this.state.when);
      },
    },
  );

  const makePromiseEvent = prepareExoClass(
    baggage,
    'promiseEvent',
    undefined,
    (when, cancelToken) => ({ when, cancelToken }),
    {
      fired(time) {
        const { cancelToken } = this.state;
        if (cancelToken) {
          removeFrom(cancels, cancelToken, this.self);
        }
        wakeups.get(this.self)?.resolve(stamp(time));
      },
      cancel() {
        strike(this.self, this.state.when);
        wakeups.get(this.self)?.reject(Error('TimerCancelled'));
      },
    },
  );

  // While its handler works it stands in no schedule; a handler that fails is not woken again.
  const makeRepeaterEvent = prepareExoClass(
    baggage,
    'repeaterEvent',
    undefined,
    (start, every, handler, cancelToken) => ({
      start,
      every,
      handler,
      cancelToken,
      scheduled: undefined,
      cancelled: false,
    }),
    {
      begin() {
        const { start, cancelToken } = this.state;
        if (cancelToken) {
          addTo(cancels, cancelToken, this.self);
        }
        const time = now();
        if (start === time) {
          this.self.fired(time);
        } else {
          this.self.awaitNext();
        }
      },
      awaitNext() {
        const { start, every, cancelled } = this.state;
        if (!cancelled) {
          const { next } = beats(start, every, now());
          this.state.scheduled = next.time;
          enlist(this.self, next.time);
        }
      },
      fired(time) {
        this.state.scheduled = undefined;
        const { self } = this;
        E.when(
          wake(this.state.handler, time),
          () => self.awaitNext(),
          error => self.failed(error),
        ).catch(error => console.log('timer: a repeater failed', error));
      },
      failed(error) {
        console.log('timer: a repeater ends, its handler failed', error);
        const { cancelToken } = this.state;
        if (cancelToken) {
          removeFrom(cancels, cancelToken, this.self);
        }
      },
      cancel() {
        const { scheduled } = this.state;
        this.state.scheduled = undefined;
        this.state.cancelled = true;
        this.state.cancelToken = undefined;
        if (scheduled !== undefined) {
          strike(this.self, scheduled);
        }
      },
    },
  );

  const wakeupAt = (when, cancelToken) => {
    insistToken(cancelToken);
    const time = now();
    if (when <= time) {
      return stamp(time);
    }
    const event = makePromiseEvent(when, cancelToken);
    const wakeup = makePromiseKit();
    wakeups.set(event, wakeup);
    enlist(event, when, cancelToken);
    return wakeup.promise;
  };

  const repeat = (start, every, handler, cancelToken) => {
    insistObject(handler, 'handler');
    insistToken(cancelToken);
    makeRepeaterEvent(start, every, handler, cancelToken).begin();
  };

  const cancel = token => {
    for (const cancelled of takeAll(cancels, token)) {
      cancelled.cancel();
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
          this.state.active = true;
          repeat(this.state.start, this.state.every, handler, this.facets.cancelToken);
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

  const makeIterator = prepareExoClass(
    baggage,
    'timerIterator',
    undefined,
    notifier => ({ notifier, updateCount: undefined, active: false }),
    {
      async next() {
        const { state } = this;
        !state.active || Fail`timer iterator dislikes overlapping next()`;
        state.active = true;
        const { value, updateCount } = await state.notifier.getUpdateSince(state.updateCount);
        state.active = false;
        state.updateCount = updateCount;
        return harden({ value, done: updateCount === undefined });
      },
    },
  );

  // A notifier of the beats; its update counts are their numbers. After it was cancelled every update is
  // the last one, without a count.
  const makeNotifierKit = prepareExoClassKit(
    baggage,
    'timerNotifier',
    undefined,
    (start, every, cancelToken) => ({ start, every, cancelToken, final: undefined }),
    {
      notifier: {
        [Symbol.asyncIterator]() {
          return makeIterator(this.facets.notifier);
        },
        async getUpdateSince(updateCount = undefined) {
          const { start, every, cancelToken, final } = this.state;
          const { canceller } = this.facets;
          if (final) {
            return final;
          }
          const update = ({ time, count }) => harden({ value: stamp(time), updateCount: count });
          const { latest, next } = beats(start, every, now());
          if (latest && latest.count !== updateCount) {
            return update(latest);
          }
          return E.when(
            wakeupAt(next.time, cancelToken),
            woken => update(beats(start, every, absolute(woken)).latest),
            () => canceller.cancel(),
          );
        },
      },
      canceller: {
        cancel() {
          this.state.final ||= harden({ value: stamp(now()), updateCount: undefined });
          return this.state.final;
        },
      },
    },
    {
      finish: ({ state: { cancelToken }, facets: { canceller } }) => {
        if (cancelToken) {
          addTo(cancels, cancelToken, canceller);
        }
      },
    },
  );

  const wakeupHandler = prepareExo(baggage, 'wakeupHandler', undefined, {
    wake() {
      const time = now();
      for (const event of takeDue(schedule, time)) {
        event.fired(time);
      }
      reschedule();
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
        wake(handler, time).catch(error => console.log('timer: a handler failed', error));
      } else {
        enlist(makeHandlerEvent(when, handler, cancelToken), when, cancelToken);
      }
      return stamp(when);
    },
    // A promise for the time at which it was woken.
    wakeAt(when, cancelToken = undefined) {
      return wakeupAt(absolute(when), cancelToken);
    },
    delay(delta, cancelToken = undefined) {
      return wakeupAt(now() + span(delta), cancelToken);
    },
    // An object with schedule(handler) and disable().
    makeRepeater(delta, every) {
      return makeRepeaterKit(now() + span(delta), interval(every)).repeater;
    },
    repeatAfter(delta, every, handler, cancelToken = undefined) {
      repeat(now() + span(delta), interval(every), handler, cancelToken);
    },
    makeNotifier(delta, every, cancelToken = undefined) {
      insistToken(cancelToken);
      return makeNotifierKit(now() + span(delta), interval(every), cancelToken).notifier;
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
