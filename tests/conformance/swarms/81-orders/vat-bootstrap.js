import { Far, E, passStyleOf } from '@endo/far';
export const buildRootObject = (vatPowers, vatParameters, baggage) => {
  const { testLog } = vatPowers;
  const show = v => { if (v instanceof Error) return `${v.name}: ${v.message}`; if (typeof v === 'bigint') return `${v}n`; if (v === undefined) return 'undefined'; if (typeof v === 'symbol') return String(v); try { return typeof v === 'object' && v !== null ? JSON.stringify(v, (k, x) => typeof x === 'bigint' ? `${x}n` : x instanceof Error ? `${x.name}: ${x.message}` : typeof x === 'symbol' ? String(x) : x) : String(v); } catch (e) { return 'unshowable'; } };
  const tell = (tag, p) => Promise.resolve(p).then(v => { testLog(tag + ' ok ' + show(v)); return v; }, e => { testLog(tag + ' err ' + show(e)); });
  
    return Far('b', { async bootstrap({ p, q, r }) {
      const log = []; const note = x => { log.push(x); };
      Promise.resolve().then(() => note('micro 1')).then(() => note('micro 2')); (async () => { note('sync'); await null; note('after null'); await Promise.resolve(); note('after resolved'); await new Promise(z => z()); note('after new'); })(); note('end of turn');
      E(p).slow(1).then(v => note('slow ' + v)); E(q).fast(2).then(v => note('fast ' + v)); E(p).fast(3).then(v => note('fast ' + v));
      E.when(E(q).fast(4), v => note('when ' + v)); E.sendOnly(r).fast(5); const pr = E(r).hold('a'); E(pr).m(1); E(pr).m(2); E(p).pass(pr, 'p'); E(q).pass(pr, 'q'); E(E(r).forward(q)).fast(6); E(r).release('a');
      const all = await Promise.all([E(p).fast(7), E(q).fast(8), E(r).fast(9), Promise.race([E(p).slow(10), E(q).fast(11)]), Promise.allSettled([E(p).fail(1), E(q).fast(12)])]);
      note(show(all)); E(p).fail(2); Promise.reject(Error('nobody')); await E(p).fan(q, r, 5); await E(r).fast('last'); testLog(log.join('\n'));
      const many = []; for (let i = 0; i < 12; i += 1) many.push(E([p, q, r][i % 3]).count()); testLog(show(await Promise.all(many))); await tell('recursion', E(p).bounce(q, 9)); await tell('any', Promise.any([E(p).fail(3), E(q).slow(13)])); return 'end';
    }, more: async () => { testLog('more'); } });
};
