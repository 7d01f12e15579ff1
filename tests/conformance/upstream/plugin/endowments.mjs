// What the host gives to SwingSet's plugin device: modules of this folder, and a queue that a step runs.
import { buildPlugin } from '@agoric/swingset-vat';

const settled = () => new Promise(resolve => setTimeout(resolve, 200));

export const make = () => {
  const thunks = [];
  const load = file => import(new URL(file, import.meta.url).href);
  const { endowments, reset } = buildPlugin('/plugins', load, thunk => thunks.push(thunk));
  const flush = async () => {
    await settled();
    for (const thunk of thunks.splice(0)) thunk();
    await settled();
  };
  return { endowments, functions: { flush, reset } };
};
