// The timer's notifiers of the beats of a rhythm.
import { prepareExoClassKit } from '@agoric/vat-data';
import { Fail } from '@endo/errors';

import { beats } from './time.js';

/**
 * Returns a maker of notifiers of beats, whose update counts are the beats' numbers. Once a notifier is cancelled,
 * every update is the last one, without a count.
 *
 * A waiter settles a result that has to wait. It is a facet with `due()` and `cancelled()`, each of which returns the
 * settlement.
 *
 * @param {object} baggage
 * @param {object} timer
 * @param {() => bigint} timer.now
 * @param {Function} timer.stamp returns a time with the timer's brand
 * @param {Function} timer.answerAt lets a waiter settle the current message's result at a time
 * @param {Function} timer.join lets a token cancel a notifier
 */
export const prepareNotifierKit = (baggage, { now, stamp, answerAt, join }) => {
  const makeIterator = prepareExoClassKit(
    baggage,
    'timerIterator',
    undefined,
    beat => ({ beat, updateCount: undefined, active: false }),
    {
      iterator: {
        next() {
          const { state, facets } = this;
          !state.active || Fail`timer iterator dislikes overlapping next()`;
          const update = state.beat.latestAfter(state.updateCount);
          if (update) {
            return facets.waiter.step(update);
          }
          state.active = true;
          state.beat.wait(facets.waiter);
          return undefined;
        },
      },
      waiter: {
        step({ value, updateCount }) {
          const { state } = this;
          state.active = false;
          state.updateCount = updateCount;
          return harden({ value, done: updateCount === undefined });
        },
        due() {
          return this.facets.waiter.step(this.state.beat.due());
        },
        cancelled() {
          return this.facets.waiter.step(this.state.beat.cancelled());
        },
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
          return makeIterator(this.facets.beat).iterator;
        },
        getUpdateSince(updateCount = undefined) {
          const { beat } = this.facets;
          return beat.latestAfter(updateCount) || beat.wait(beat);
        },
      },
      // It is a waiter itself, because a notifier's result is an update.
      beat: {
        // Returns the last update if the caller does not know it, and undefined if that is yet to come.
        latestAfter(updateCount) {
          const { start, every, final } = this.state;
          const { latest } = beats(start, every, now());
          const isNew = latest && latest.count !== updateCount;
          return final || (isNew ? this.facets.beat.due() : undefined);
        },
        wait(waiter) {
          const { start, every, cancelToken } = this.state;
          answerAt(beats(start, every, now()).next.time, cancelToken, waiter);
        },
        due() {
          const { start, every } = this.state;
          const { time, count } = beats(start, every, now()).latest;
          return harden({ value: stamp(time), updateCount: count });
        },
        cancelled() {
          this.state.final ||= harden({ value: stamp(now()), updateCount: undefined });
          return this.state.final;
        },
      },
    },
    {
      finish: ({ state: { cancelToken }, facets: { beat } }) => {
        if (cancelToken) {
          join(cancelToken, beat);
        }
      },
    },
  );
};
