// `capstanOptions`: what vats get by the options `enableVatstore` and `enableSetup`. Evaluated after SES lockdown and
// before the supervisor, which uses it. Agoric's supervisor has neither. Vat code runs in compartments, which do not see
// the globals of the supervisor.
(() => {
  const { assert, harden } = globalThis;
  const { Fail } = assert;

  // `vatPowers.vatstore`: text by key, kept under a prefix of its own in the vat's store. Keys consist of ASCII
  // characters, so that their order is that of their bytes.

  const PREFIX = 'vvs.';
  const KEY = /^[-\w.+/]+$/;
  /** Character that follows every character of a key. */
  const AFTER_ALL = '\x7f';

  const scoped = key => {
    assert.typeof(key, 'string');
    assert(KEY.test(key), 'invalid vatstore key');
    return `${PREFIX}${key}`;
  };

  /** Returns the key with its last character replaced by the one at that distance. */
  const shifted = (key, distance) =>
    `${key.slice(0, -1)}${String.fromCharCode(key.charCodeAt(key.length - 1) + distance)}`;

  const makeVatstore = syscall => {
    /** Returns the first stored key after `prior`, if it comes before `end`. */
    const nextBefore = (prior, end) => {
      const key = syscall.vatstoreGetNextKey(prior);
      return typeof key === 'string' && key < end ? key : undefined;
    };

    return harden({
      get: key => syscall.vatstoreGet(scoped(key)),
      set: (key, value) => {
        const full = scoped(key);
        assert.typeof(value, 'string');
        syscall.vatstoreSet(full, value);
      },
      delete: key => {
        syscall.vatstoreDelete(scoped(key));
      },
      // Returns the first entry `[key, value]` after `priorKey`, within `lowerBound <= key < upperBound`. An empty `priorKey`
      // begins at the lower bound. Without an upper bound keys begin with the lower bound.
      getAfter: (priorKey, lowerBound, upperBound = undefined) => {
        let prior;
        if (priorKey !== '') {
          prior = scoped(priorKey);
          assert(priorKey >= lowerBound, 'priorKey must be >= lowerBound');
        }
        const lower = scoped(lowerBound);
        // A key that precedes the lower bound and every key from there on.
        prior ||= `${shifted(lower, -1)}${AFTER_ALL}`;
        let end = shifted(lower, 1);
        if (upperBound) {
          end = scoped(upperBound);
          assert(upperBound > lowerBound, 'upperBound must be > lowerBound');
        }
        const key = nextBefore(prior, end);
        // An empty value reads as undefined.
        return key && harden([key.slice(PREFIX.length), syscall.vatstoreGet(key) || '']);
      },
    });
  };

  // `enableSetup`: the bundle's default export is `setup(syscall, state, helpers, vatPowers)`, which returns the
  // function that takes all deliveries. There is no liveslots.

  const setupOf = ({ default: setup, buildRootObject }) => {
    setup || Fail`vat source bundle lacks (default) setup() function`;
    assert.typeof(setup, 'function', 'the default export of a vat with enableSetup must be a function setup()');
    buildRootObject === undefined ||
      Fail`vat source bundle has both buildRootObject() and a default setup(): enableSetup takes setup() alone`;
    return setup;
  };

  /**
   * Returns the vat's dispatch. Its first delivery calls `setup`, so that the vat pays for it.
   *
   * @param {object} worker
   * @param {() => Promise<object>} worker.load returns the bundle's namespace
   * @param {(handler: (vso: unknown) => unknown) => object} worker.makeSyscall returns the methods of `syscall`
   * @param {(vso: unknown) => unknown} worker.syscallToManager
   * @param {object} worker.vatPowers
   */
  const makeRawDispatch = ({ load, makeSyscall, syscallToManager, vatPowers }) => {
    let dispatch;

    const start = namespace => {
      let isSetUp = false;
      const syscall = makeSyscall(vso => {
        isSetUp || Fail`setup() must not make syscalls: they belong to deliveries`;
        return syscallToManager(vso);
      });
      const made = setupOf(namespace)(syscall, null, harden({}), harden(vatPowers));
      assert.typeof(made, 'function', 'setup() must return the dispatch function');
      isSetUp = true;
      dispatch = made;
    };

    return async delivery => {
      if (!dispatch) {
        start(await load());
      }
      return dispatch(delivery);
    };
  };

  globalThis.capstanOptions = harden({ makeVatstore, makeRawDispatch });
})();
