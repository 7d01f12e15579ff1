// A vat that encourages. What it keeps for one person, others cannot reach.
import { Far } from '@endo/far';

const PHRASES = ['you are doing well', 'that was the hard part', 'others learn from you'];

export const buildRootObject = () =>
  Far('bot', {
    encouragerFor: name => {
      let said = 0;
      console.log(`an encourager for ${name}`);
      return Far('encourager', {
        encourage: () => {
          const phrase = PHRASES[said % PHRASES.length];
          said += 1;
          return `${name}, ${phrase}`;
        },
        count: () => said,
      });
    },
  });
