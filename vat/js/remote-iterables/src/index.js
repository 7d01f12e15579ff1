// Async iterators between vats. Those that survive an upgrade are in `durable.js`.
export { makeExoGenerator } from './exo-generator.js';
export { makeEventualIterator } from './eventual-iterator.js';
