// A vat that does ordinary things with texts that are no Unicode: JavaScript's texts are any UTF-16 code units.
import { E, Far } from '@endo/far';
import { makeScalarBigMapStore, makeScalarBigSetStore } from '@agoric/vat-data';
import { makeScalarMapStore, makeLegacyMap } from '@agoric/store';

const S = '\ud800';
// In the order of code points, which is that of the store.
const KEYS = ['a', '\ud7ff', S, `${S}x`, '\udfff', '\ue000', '\u{10000}', '\u{1f600}'];
const told = p =>
  p.then(
    value => ['fulfilled', value],
    reason => ['rejected', reason.message],
  );
const nest = depth => {
  let nested = [];
  for (let i = 0; i < depth; i += 1) nested = [nested];
  return nested;
};

export const buildRootObject = (vatPowers, vatParameters) => {
  const kept = makeScalarBigMapStore('kept');
  const pending = new Promise(() => {});
  return Far('surrogates', {
    ping: () => 'pong',
    parameters: () => vatParameters,
    echo: (...args) => args,
    concat: (a, b) => a + b,
    halves: text => [text.slice(0, 1), text.slice(1)],
    symbol: () => Symbol.for(S),
    named: () => Far(`thing ${S}`, { [S]: () => 'called' }),
    record: () => ({ ['\udfff']: S, [S]: 1, z: `${S}\udc00` }),
    async callNamed(self) {
      const thing = await E(self).named();
      return E(thing)[S]();
    },
    plainError() {
      throw RangeError(`no account named ${S}`);
    },
    namedError() {
      const error = Error(S);
      Object.defineProperty(error, 'name', { value: S });
      throw error;
    },
    rejectedText: () => Promise.reject(S),
    console() {
      console.log(S, { [S]: [S] });
      console.warn(`${S}\udfff`, nest(300));
      console.error(Error(S));
      console.info(...Array(5000).fill(S));
      vatPowers.testLog(S, { [S]: S }, nest(300));
      return 'ok';
    },
    heapStores() {
      const map = makeScalarMapStore();
      const legacy = makeLegacyMap('legacy');
      map.init(S, 1);
      legacy.init(S, 2);
      return [map.get(S), legacy.get(S), [...map.keys()]];
    },
    storeGet: () => makeScalarBigMapStore('m').get(S),
    storeInit() {
      const m = makeScalarBigMapStore('m');
      m.init(S, 1);
      return m.get(S);
    },
    fill() {
      [...KEYS].reverse().forEach((key, i) => kept.init(key, `${key}${i}`));
      const set = makeScalarBigSetStore('set');
      set.add(S);
      return [set.has(S), set.has('\udfff'), [...set.keys()]];
    },
    inOrder: () => [...kept.keys()].every((key, i) => key === KEYS[i]),
    size: () => [kept.getSize(), [...kept.entries()].length],
    values: () => [...kept.values()],
    change() {
      kept.set(S, `now ${S}`);
      kept.delete('\udfff');
      return [kept.get(S), kept.has('\udfff'), kept.has(`${S}x`), [...kept.keys()].length];
    },
    clear() {
      kept.clear();
      return kept.getSize();
    },
    pending: () => pending,
    exit: () => vatPowers.exitVat(S),
    fail: () => vatPowers.exitVatWithFailure(Error(S)),
    // What is not this vat's own: `target` is of the system, or of another account's.
    knock: target => told(E(target)[S](S)),
    symbolKnock: target => told(E(target)[Symbol.for(S)]()),
    tell: (target, method, ...args) => told(E(target)[method](...args)),
    create: (factory, bundle, options) =>
      E(factory).createVat(bundle, options).then(({ root }) => told(E(root).parameters()), e => ['no vat', e.message]),
    upgrade: (factory, admin, bundle) =>
      E(factory).upgradeVat(admin, bundle, { upgradeMessage: S, vatParameters: { [S]: S } }),
  });
};
