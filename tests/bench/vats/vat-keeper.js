import { E, Far } from '@endo/far';
import { prepareExoClass, provideDurableMapStore } from '@agoric/vat-data';

// Keeps durable objects that another vat holds, and counts in each of them.
export const buildRootObject = (_vatPowers, _vatParameters, baggage) => {
  const makeThing = prepareExoClass(baggage, 'thing', undefined, () => ({ count: 0 }), {
    touch() {
      this.state.count += 1;
      return this.state.count;
    },
  });
  const things = provideDurableMapStore(baggage, 'things');
  const keep = number => {
    const thing = makeThing();
    things.init(`${number}`, thing);
    return thing;
  };
  return Far('keeper', {
    grow: (from, count, holder) => {
      const made = [];
      for (let i = from; i < from + count; i += 1) made.push(keep(i));
      return E(holder).take(made);
    },
    touch: number => things.get(`${number}`).touch(),
  });
};
