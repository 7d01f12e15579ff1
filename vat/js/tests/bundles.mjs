// Bundles sources one after the other: node bundles.mjs endo|capstan SOURCE…
//
// Prints for each its id and a hash of the whole bundle. `endo` is Endo's own bundler, with what ours sees of the file
// system; `capstan` is ours.
import crypto from 'node:crypto';
import process from 'node:process';

import '@endo/init';
import bundleSource from '@endo/bundle-source';

import { bundle, views } from '../tools/bundler.mjs';

const byEndo = async source => {
  let lastError;
  for (const powers of views(source)) {
    try {
      return await bundleSource(source, { format: 'endoZipBase64' }, powers);
    } catch (error) {
      lastError = error;
    }
  }
  throw lastError;
};

const byCapstan = async source => (await bundle(source)).bundle;

const [, , who, ...sources] = process.argv;
const make = { endo: byEndo, capstan: byCapstan }[who];
for (const source of sources) {
  const { endoZipBase64, endoZipBase64Sha512 } = await make(source);
  const hash = crypto.createHash('sha256').update(endoZipBase64).digest('hex');
  console.log(`b1-${endoZipBase64Sha512} ${hash}`);
}
