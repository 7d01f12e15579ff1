import { Far } from '@endo/far';

export const buildRootObject = () => Far('bootstrap', { bootstrap: () => 'fine' });
