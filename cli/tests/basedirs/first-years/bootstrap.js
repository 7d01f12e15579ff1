function buildRootObject(E) {
  const t1 = harden({
    foo() {
      console.log('foo called');
      return harden({ bar: () => 'bar' });
    },
    state() {
      return harden({ database: harden({ open: name => harden({ select: n => `${name}/${n}` }) }) });
    },
  });
  return harden({
    async bootstrap(argv, vats) {
      console.log(`argv ${argv.join(' ')}; vats ${Object.keys(vats).join(' ')}`);
      const sent = t1~.foo();
      console.log('wavy dot called');
      const badP = Promise.reject(Error('bad'));
      const rejected = badP~.foo().then(undefined, rej => `rejected ${rej.message}`);
      // A pipeline: nothing below waits for what is above it.
      const db = t1~.state()~.database~.open('db');
      const row = db~.select(7);
      const left = await E(vats.left).callRight(1, vats.right);
      return harden([left, await sent~.bar(), await rejected, await row, await t1~.[`f${'oo'}`]()~.bar()]);
    },
  });
}

export default function setup(syscall, state, helpers) {
  return helpers.makeLiveSlots(syscall, state, buildRootObject, helpers.vatID);
}
