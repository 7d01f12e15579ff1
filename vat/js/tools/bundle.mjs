// Bundles a vat's source: node bundle.mjs SRC.js OUT.json
//
// OUT.json is an Endo bundle, {moduleFormat: "endoZipBase64", endoZipBase64, endoZipBase64Sha512}, with
// the id that Agoric's own tools give. Prints the bundle's id.
import fs from 'node:fs';
import process from 'node:process';

import { bundle } from './bundler.mjs';

const main = async ([source, out, ...rest]) => {
  if (!source || !out || rest.length) {
    throw Error('usage: node bundle.mjs SRC.js OUT.json');
  }
  if (!fs.statSync(source, { throwIfNoEntry: false })?.isFile()) {
    throw Error(`there is no file ${source}`);
  }
  const result = await bundle(fs.realpathSync(source));
  fs.writeFileSync(out, `${JSON.stringify(result)}\n`);
  console.log(`b1-${result.endoZipBase64Sha512}`);
};

main(process.argv.slice(2)).catch(error => {
  const isScript = /sourceType: "module"/.test(error.message);
  const hint = isScript ? '\nA vat is an ES module: set "type": "module" in its package.json.' : '';
  console.error(`bundle: ${error.message}${hint}`);
  process.exitCode = 1;
});
