// Makes Endo's zip writer copy what it wrote only when it needs more room. It copies all of it with each field otherwise,
// which took most of the time of bundling modules from the cache.
import { importBufferWriter } from './endo.mjs';

/** The room that a writer has from its beginning, unless it is told otherwise. */
const FIRST_CAPACITY = 16;

const capacities = new WeakMap(); // writer -> the room that it has at least
let patched = false;

/** Changes the writer for this process. What it writes stays the same. */
export const patchZipWriter = async () => {
  const BufferWriter = await importBufferWriter();
  if (patched) {
    return;
  }
  patched = true;
  const { prototype } = BufferWriter;
  const { ensureCanSeek } = prototype;
  prototype.ensureCanSeek = function ensureRoom(required) {
    let capacity = capacities.get(this) ?? FIRST_CAPACITY;
    if (required <= capacity) {
      return;
    }
    while (capacity < required) {
      capacity *= 2;
    }
    ensureCanSeek.call(this, capacity);
    capacities.set(this, capacity);
  };
};
