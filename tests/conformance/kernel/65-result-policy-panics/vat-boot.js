
import { Far, E } from '@endo/far';
const t = async p => p.then(v => ['ok', v], e => ['err', e instanceof Error ? e.message : e]);
export const buildRootObject = () => {
  let svc, dev; const kept = {}; 
  const me = Far('b', {
    async bootstrap({ vatAdmin }, devices) { dev = devices.vatAdmin; svc = await E(vatAdmin).createVatAdminService(dev); return 'up'; },
    async create(name, bundle, opts) { const cap = await E(svc).getNamedBundleCap(bundle); const r = await t(E(svc).createVat(cap, harden(opts || {}))); if (r[0] === 'ok') { kept[name] = r[1]; return harden(['ok']); } return harden(r); },
    async createWith(name, bundle, opts) { const cap = await E(svc).getNamedBundleCap(bundle); const p = Far('param', { hi: () => 'param hi' }); kept[`${name}P`] = p; const r = await t(E(svc).createVat(cap, harden({ ...opts, vatParameters: { p, boot: me } }))); if (r[0] === 'ok') { kept[name] = r[1]; return harden(['ok']); } delete kept[`${name}P`]; return harden(r); },
    call: (name, method, ...args) => t(E(kept[name].root)[method](...args)),
    give: (name, method) => t(E(kept[name].root)[method](Far('gift', { hi: () => 'gift hi' }))),
    async grab(name, method, as) { const r = await t(E(kept[name].root)[method]()); kept[as] = { root: r[1] }; return r[0]; },
    promise(name, method, as) { kept[as] = t(E(kept[name].root)[method]()); return 'waiting'; },
    await: as => kept[as],
    drop(name) { delete kept[name]; return 'dropped'; },
    done(name, as) { kept[as] = t(E(kept[name].adminNode).done()); return 'waiting'; },
    admin: (name, method, ...args) => t(E(kept[name].adminNode)[method](...args)),
    async upgrade(name, bundle, opts) { const cap = await E(svc).getNamedBundleCap(bundle); return t(E(kept[name].adminNode).upgrade(cap, harden(opts || {}))); },
    async upgradeTwice(name, bundle) { const cap = await E(svc).getNamedBundleCap(bundle); const a = t(E(kept[name].adminNode).upgrade(cap)); const b = t(E(kept[name].adminNode).upgrade(cap, { upgradeMessage: 'second' })); return Promise.all([a, b]); },
    async upgradeKill(name, bundle, first) { const cap = await E(svc).getNamedBundleCap(bundle); const go = [() => t(E(kept[name].adminNode).upgrade(cap, harden({vatParameters: {p: 1}}))), () => t(E(kept[name].adminNode).terminateWithFailure(Error('enough')))]; if (first) go.reverse(); return Promise.all(go.map(f => f())); },
    killWith(name) { return t(E(kept[name].adminNode).terminateWithFailure(harden({ why: Far('why', {}), me }))); },
    async createKill(bundle) { const cap = await E(svc).getNamedBundleCap(bundle); const r = E(svc).createVat(cap); const d = E(E.get(r).adminNode).done(); const k = E(E.get(r).adminNode).terminateWithFailure('young'); return Promise.all([t(d), t(k)]); },
    async meter() { const m = await E(svc).createMeter(100n, 50n); const u = await E(svc).createUnlimitedMeter(); const out = [await E(m).get(), await E(u).get()]; await E(m).addRemaining(7n); await E(m).setThreshold(3n); await E(u).addRemaining(5n); out.push(await E(m).get(), await E(u).get(), await t(E(m).addRemaining(-1n)), await t(E(m).addRemaining(3)), await t(E(svc).createMeter(-1n, 1n)), await t(E(svc).createMeter(1, 2))); kept.m = m; return harden(out); },
    async createMetered(name, bundle) { const cap = await E(svc).getNamedBundleCap(bundle); const r = await t(E(svc).createVat(cap, harden({ meter: kept.m }))); if (r[0] === 'ok') { kept[name] = r[1]; return harden(['ok']); } return harden(r); },
    async caps() { return harden([await t(E(svc).getNamedBundleCap('nope')), await t(E(svc).getBundleCap('b1-123')), await t(E(svc).getBundleCap('b1-' + '0'.repeat(128))), await t(E(svc).getBundleIDByName('ulrik')).then(r => r[0]), await t(E(svc).getBundleIDByName('nope')), await t(E(svc).createVatByName('nope'))]); },
    hi: () => 'boot hi',
  });
  return me;
};
