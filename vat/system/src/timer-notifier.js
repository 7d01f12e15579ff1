// The timer's notifiers: of the beats of a rhythm.
import { prepareExoClass, prepareExoClassKit } from '@agoric/vat-data';
import { Fail } from '@endo/errors';
import { E } from '@endo/far';

import { beats } from './time.js';

/**
 * A maker of notifiers of beats, whose update counts are the beats' numbers. After a notifier was cancelled every
 * update is the last one, without a count.
 *
 * @param {object} baggage
 * @param {object} timer
 * @param {() => bigint} timer.now
 * @param {Function} timer.stamp a time as it is given away
 * @param {Function} timer.absolute and back
 * @param {Function} timer.wakeupAt a promise for a time
 * @param {Function} timer.join lets a token cancel a notifier
 */
export const prepareNotifierKit = (baggage, { now, stamp, absolute, wakeupAt, join }) => {
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
        try {
          const { value, updateCount } = await state.notifier.getUpdateSince(state.updateCount);
          state.updateCount = updateCount;
          return harden({ value, done: updateCount === undefined });
        } finally {
          state.active = false;
        }
      },
    },
  );

  return prepareExoClassKit(
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
          join(cancelToken, canceller);
        }
      },
    },
  );
};
