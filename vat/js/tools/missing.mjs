// The modules that a bundle lacks. Endo's bundler takes a module that it cannot read for one that is perhaps never
// imported, and puts the error in its place.
import { ZipReader } from '@endo/zip';

/**
 * The errors that stand for modules in a bundle.
 *
 * @param {string} endoZipBase64
 * @returns {Promise<string[]>}
 */
export const missingModules = async endoZipBase64 => {
  const zip = new ZipReader(new Uint8Array(Buffer.from(endoZipBase64, 'base64')));
  const map = JSON.parse(new TextDecoder().decode(zip.read('compartment-map.json')));
  const modules = Object.values(map.compartments).flatMap(({ modules: all }) => Object.values(all));
  return modules.map(({ deferredError }) => deferredError).filter(error => error !== undefined);
};
