// Runs an account's object, written in JavaScript, for `capstan serve`. Lines of JSON on standard
// input and output connect it to the program that reads the outbox and sends transactions.
import '@endo/init';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { pathToFileURL } from 'node:url';
import { E, Far } from '@endo/far';
import { makeMarshal } from '@endo/marshal';
import { isPromise } from '@endo/promise-kit';
import { Remotable, passStyleOf } from '@endo/pass-style';

const write = process.stdout.write.bind(process.stdout);
// What the user's program prints is for people.
process.stdout.write = process.stderr.write.bind(process.stderr);
const tell = message => write(`${JSON.stringify(message)}\n`);

const [, , file, root, first, names] = process.argv;
let next = Number(first);
const slots = new WeakMap(); // value -> reference
const values = new Map(); // reference -> value: exports, and promises that are not settled
const imported = new Map(); // reference -> WeakRef of the value. Callers pass any number of objects
const collected = new FinalizationRegistry(reference => {
  if (imported.get(reference)?.deref() === undefined) imported.delete(reference);
});
const settlers = new Map(); // reference of an imported promise -> { resolve, reject }
const sends = new Map(); // number of a send -> { resolve, reject }
const early = new Map(); // reference -> [rejected, data]: results that are told before their send is
let lastSend = 0;

const keep = (reference, value) => {
  slots.set(value, reference);
  values.set(reference, value);
  return value;
};

const send = (target, method, args) => {
  if (typeof method !== 'string') throw Error('only methods with names that are texts can be called');
  const { body, slots: refs } = marshal.serialize(harden(args));
  lastSend += 1;
  const id = lastSend;
  const answer = new Promise((resolve, reject) => sends.set(id, { resolve, reject }));
  tell({ t: 'send', id, target, method, body, slots: refs });
  return answer;
};

const handler = target => ({
  applyMethod: (_, method, args) => send(target, method, args),
  applyFunction: () => Promise.reject(Error('a reference of the chain has methods, and is no function')),
  get: () => Promise.reject(Error('a reference of the chain has methods, and no properties to read')),
});

const importObject = (reference, iface = 'Alleged: remote') => {
  let presence;
  // eslint-disable-next-line no-new
  new HandledPromise((_resolve, _reject, resolveWithPresence) => {
    presence = resolveWithPresence(handler(reference));
  });
  const value = Remotable(iface, undefined, presence);
  slots.set(value, reference);
  imported.set(reference, new WeakRef(value));
  collected.register(value, reference);
  return value;
};

const importPromise = reference => {
  const promise = new HandledPromise((resolve, reject) => {
    settlers.set(reference, { resolve, reject });
  }, handler(reference));
  promise.catch(() => {});
  return keep(reference, promise);
};

const settle = (promise, value) => {
  const report = (rejected, what) => {
    const { body, slots: refs } = encode(what);
    tell({ t: 'settle', promise, rejected, body, slots: refs });
    slots.delete(value);
    values.delete(promise);
  };
  value.then(what => report(false, what), reason => report(true, reason));
};

const convertValToSlot = value => {
  const known = slots.get(value);
  if (known) return known;
  next += 1;
  const promise = isPromise(value);
  const reference = `${promise ? 'rp' : 'ro'}+${next}`;
  keep(reference, value);
  if (promise) settle(reference, value);
  return reference;
};

const convertSlotToVal = (reference, iface) => {
  const known = values.get(reference) ?? imported.get(reference)?.deref();
  if (known !== undefined) return known;
  if (/^r[op]\+/.test(reference)) throw Error(`${reference} is an object of an earlier run, which is gone`);
  return reference.startsWith('ro') ? importObject(reference, iface) : importPromise(reference);
};

const marshal = makeMarshal(convertValToSlot, convertSlotToVal, {
  marshalName: 'serve',
  serializeBodyFormat: 'smallcaps',
  errorTagging: 'off',
  marshalSaveError: () => {},
});

/** The value as data, or an error that says why it cannot be. */
const encode = value => {
  try {
    return marshal.serialize(harden(value));
  } catch (error) {
    return marshal.serialize(harden(Error(`the value cannot be passed: ${error.message}`)));
  }
};

// At once: the next line may settle a promise that this one brings.
const read = (target, { body, slots: refs }) => {
  const object = values.get(target);
  if (object === undefined) throw Error(`${target} is an object of an earlier run, which is gone`);
  const [method, args] = marshal.unserialize({ body, slots: refs });
  return { object, method, args };
};

const call = async ({ object, method, args }) => {
  await null;
  if (isPromise(object)) return E(object)[method](...args);
  if (typeof method !== 'string' || !Object.hasOwn(methodsOf(object), method)) {
    const known = JSON.stringify(Object.keys(methodsOf(object)).sort());
    throw TypeError(`target has no method ${JSON.stringify(String(method))}, has ${known}`);
  }
  return object[method](...args);
};

const methodsOf = object => {
  const all = {};
  for (let at = object; at && at !== Object.prototype; at = Object.getPrototypeOf(at)) {
    for (const name of Object.getOwnPropertyNames(at)) {
      if (name !== 'constructor' && typeof at[name] === 'function') all[name] = true;
    }
  }
  return all;
};

const tryToRead = (target, methargs) => {
  try {
    return read(target, methargs);
  } catch (error) {
    return { error };
  }
};

/** Calls that were read and wait until they may start: how to start each, by its entry. */
const held = new Map();

const mayStart = entry => new Promise(start => held.set(entry, start));

const onStart = entry => {
  const start = held.get(entry);
  held.delete(entry);
  if (start) start();
};

const onMessage = async (entry, [, target, { methargs, result }]) => {
  const answer = (rejected, value) => {
    let encoded;
    try {
      encoded = marshal.serialize(harden(value));
    } catch (error) {
      encoded = encode(Error(`what the method ${rejected ? 'threw' : 'answered'} cannot be passed: ${error.message}`));
      rejected = true;
    }
    tell({ t: 'answer', entry, rejected, body: encoded.body, slots: encoded.slots });
  };
  const message = tryToRead(target, methargs);
  await mayStart(entry);
  try {
    if (message.error) throw message.error;
    answer(false, await call(message));
  } catch (error) {
    answer(true, error);
  }
  if (result) slots.delete(values.get(result));
};

const settleImported = (promise, rejected, data) => {
  const settler = settlers.get(promise);
  settlers.delete(promise);
  slots.delete(values.get(promise));
  values.delete(promise);
  // Whoever settled it may be hostile. What waits for it goes on all the same.
  try {
    const value = marshal.unserialize(data);
    if (rejected) settler.reject(value);
    else settler.resolve(value);
  } catch (error) {
    settler.reject(Error(`${promise} was settled with what cannot be read: ${error.message}`));
  }
};

const onNotify = ([, resolutions]) => {
  for (const [promise, rejected, data] of resolutions) {
    if (settlers.has(promise)) settleImported(promise, rejected, data);
    // The outbox may be ahead of the news that a message is in a block.
    else if (sends.size > 0) early.set(promise, [rejected, data]);
  }
};

const onSent = ({ id, promise }) => {
  const settler = sends.get(id);
  sends.delete(id);
  if (settler) settler.resolve(values.get(promise) || importPromise(promise));
  const told = early.get(promise);
  early.delete(promise);
  if (told && settlers.has(promise)) settleImported(promise, ...told);
  if (sends.size === 0) early.clear();
};

const forget = references => {
  for (const reference of references) {
    if (reference !== root) {
      slots.delete(values.get(reference) ?? imported.get(reference)?.deref());
      values.delete(reference);
      imported.delete(reference);
    }
  }
};

const onLine = async line => {
  const told = JSON.parse(line);
  if (told.t === 'ping') {
    tell({ t: 'pong' });
  } else if (told.t === 'start') {
    onStart(told.entry);
  } else if (told.t === 'sent') {
    onSent(told);
  } else if (told.t === 'failed') {
    const settler = sends.get(told.id);
    sends.delete(told.id);
    if (sends.size === 0) early.clear();
    if (settler) settler.reject(Error(told.error));
  } else if (told.t === 'entry') {
    const [kind, list] = told.delivery;
    if (kind === 'message') await onMessage(told.entry, told.delivery);
    else if (kind === 'notify') onNotify(told.delivery);
    else forget(list);
  }
};

process.on('unhandledRejection', error => console.error('unhandled rejection:', error));
// Node tells the place of a syntax error only of a program that it checks.
const place = () => {
  const input = fs.readFileSync(file);
  const { stderr } = spawnSync(process.execPath, ['--check', '--input-type=module'], { input, encoding: 'utf8' });
  return stderr.split('\n    at ')[0].replace('[stdin]', () => file).trim();
};
const load = async () => {
  try {
    return await import(pathToFileURL(path.resolve(file)).href);
  } catch (error) {
    // In another module it has no place, either.
    const where = error instanceof SyntaxError && place();
    if (!where) throw error;
    console.error(where);
    return process.exit(1);
  }
};
const module = await load();
const make = module.makeObject || module.buildRootObject;
if (typeof make !== 'function') {
  throw Error(`${file} exports no function makeObject or buildRootObject`);
}
const drop = object => {
  const reference = slots.get(object);
  if (!/^ro-/.test(reference || '')) throw Error('only an object of the chain can be dropped');
  forget([reference]);
  tell({ t: 'drop', reference });
};
const imports = Object.fromEntries(JSON.parse(names).map(ref => [ref, importObject(ref)]));
const made = await make({ E, Far, drop, imports });
const isFar = Object.isFrozen(made) && passStyleOf(made) === 'remotable';
keep(root, isFar ? made : Far('served', { ...made }));
tell({ t: 'ready', idempotent: module.idempotent === true });
readline.createInterface({ input: process.stdin }).on('line', onLine).on('close', () => process.exit(0));
