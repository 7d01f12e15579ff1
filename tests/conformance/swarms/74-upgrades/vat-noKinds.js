import { makeVersion } from './versions.js';

export const buildRootObject = makeVersion('noKinds');
