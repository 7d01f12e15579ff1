// Globals that the worker's start compartment needs besides those of QuickJS-ng. With them it looks like xsnap, for
// which Agoric's lockdown and supervisor are made. Evaluated first, before SES lockdown.
(() => {
  const { utf8Encode, utf8Decode, base64Encode, base64Decode, harden } = capstanNatives;
  delete globalThis.capstanNatives;
  const { apply, defineProperty } = Reflect;
  const { freeze } = Object;

  const define = (target, name, value) =>
    defineProperty(target, name, { value, writable: true, enumerable: false, configurable: true });

  // QuickJS-ng holds a registry's unregister token strongly. Liveslots passes the target itself as its token, which then
  // would never be collected, and bringOutYourDead would report nothing. So an object of its own represents a token, and
  // lives as long as the token.
  const { prototype: registryPrototype } = FinalizationRegistry;
  const { register: nativeRegister, unregister: nativeUnregister } = registryPrototype;
  const { get: weakMapGet, set: weakMapSet } = WeakMap.prototype;
  const standIns = new WeakMap();
  const { register, unregister } = {
    register(target, heldValue, token = undefined) {
      if (token === undefined) {
        return apply(nativeRegister, this, [target, heldValue]);
      }
      if (target === heldValue) {
        throw TypeError('register: the target cannot be its own held value');
      }
      let standIn = apply(weakMapGet, standIns, [token]);
      if (!standIn) {
        standIn = {};
        apply(weakMapSet, standIns, [token, standIn]);
      }
      return apply(nativeRegister, this, [target, heldValue, standIn]);
    },
    unregister(token) {
      const standIn = apply(weakMapGet, standIns, [token]);
      return standIn ? apply(nativeUnregister, this, [standIn]) : false;
    },
  };
  define(registryPrototype, 'register', register);
  define(registryPrototype, 'unregister', unregister);

  // SES uses a native `harden` if there is one, as in xsnap. Its own took half of a delivery's cost.
  define(globalThis, 'harden', harden);

  // With V8's extensions, SES would take the engine for V8.
  delete Error.captureStackTrace;
  delete Error.stackTraceLimit;
  delete Error.prepareStackTrace;

  // Returns [buffer, offset, length] of an ArrayBuffer or a view of one.
  const byteRange = bytes =>
    ArrayBuffer.isView(bytes)
      ? [bytes.buffer, bytes.byteOffset, bytes.byteLength]
      : [bytes, 0, bytes.byteLength];

  class TextEncoder {
    get encoding() {
      return 'utf-8';
    }

    // Encodes lone surrogates as U+FFFD.
    encode(text = '') {
      return new Uint8Array(utf8Encode(`${text}`));
    }
  }

  class TextDecoder {
    #fatal;

    #ignoreBOM;

    constructor(label = 'utf-8', { fatal = false, ignoreBOM = false } = {}) {
      if (!/^[\t\n\f\r ]*(?:unicode-1-1-)?utf-?8[\t\n\f\r ]*$/i.test(`${label}`)) {
        throw RangeError(`TextDecoder: encoding ${label} is not supported, only utf-8`);
      }
      this.#fatal = !!fatal;
      this.#ignoreBOM = !!ignoreBOM;
    }

    get encoding() {
      return 'utf-8';
    }

    get fatal() {
      return this.#fatal;
    }

    get ignoreBOM() {
      return this.#ignoreBOM;
    }

    // Decodes each invalid part as U+FFFD, or throws a TypeError if `fatal`.
    decode(bytes = undefined, { stream = false } = {}) {
      if (stream) {
        throw TypeError('TextDecoder: streams are not supported');
      }
      if (bytes === undefined) {
        return '';
      }
      const [buffer, offset, length] = byteRange(bytes);
      const text = utf8Decode(buffer, offset, length, this.#fatal);
      return !this.#ignoreBOM && text[0] === '\uFEFF' ? text.slice(1) : text;
    }
  }

  const Base64 = {
    encode: bytes => base64Encode(...byteRange(bytes)),
    decode: text => base64Decode(`${text}`),
  };

  // Vat code gets these same objects, and the supervisor encodes its commands with them.
  freeze(TextEncoder.prototype);
  freeze(TextDecoder.prototype);
  freeze(Base64.encode);
  freeze(Base64.decode);
  define(globalThis, 'TextEncoder', freeze(TextEncoder));
  define(globalThis, 'TextDecoder', freeze(TextDecoder));
  define(globalThis, 'Base64', freeze(Base64));
})();
