// Keeps texts of the length that it is told, and answers with such.
import { Far } from '@endo/far';

export const buildRootObject = (_vatPowers, _vatParameters, baggage) =>
  Far('hoarder', {
    keep: (key, bytes) => baggage.init(key, 'x'.repeat(bytes)),
    free: key => baggage.delete(key),
    answer: bytes => 'x'.repeat(bytes),
  });
