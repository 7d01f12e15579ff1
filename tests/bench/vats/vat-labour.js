import { E, Far } from '@endo/far';
import { makeScalarBigMapStore } from '@agoric/vat-data';

// Works as it is told; the Wasm counterpart is labour.wat.
export const buildRootObject = (_vatPowers, _vatParameters, baggage) => {
  const entries = makeScalarBigMapStore('entries', { durable: true });
  baggage.init('entries', entries);
  let round = 0;
  const echo = Far('echo', { value: () => 'value' });
  const root = Far('labour', {
    nothing: () => {},
    calculate: () => {
      let hash = 0;
      for (let i = 0; i < 100_000; i += 1) hash = (hash * 31 + i) % 1_000_003;
      return hash;
    },
    write: () => {
      const words = [];
      for (let i = 0; i < 1_000; i += 1) words.push(`word ${i} of a text`);
      const text = words.join('; ');
      const found = text.match(/\d+ of a (\w+)/g).map(word => word.toUpperCase());
      return JSON.parse(JSON.stringify({ found, text })).found.length;
    },
    allocate: () => {
      const records = [];
      for (let i = 0; i < 5_000; i += 1) records.push({ i, name: `n${i % 97}`, tags: [i, i + 1] });
      const names = new Map();
      for (const record of records) names.set(record.name, record);
      records.sort((a, b) => (a.name < b.name ? -1 : 1));
      return [...names.keys()].length + records.length;
    },
    keep: () => {
      round += 1;
      for (let i = 0; i < 50; i += 1) {
        const key = `key ${(round * 50 + i) % 500}`;
        if (entries.has(key)) entries.set(key, harden({ round }));
        else entries.init(key, harden({ round }));
      }
    },
    ask: async () => {
      const answers = [];
      for (let i = 0; i < 20; i += 1) answers.push(E(E(root).echo()).value());
      await Promise.all(answers);
    },
    echo: () => echo,
  });
  return root;
};
