import { Far } from '@endo/far';

// Does what takes much time for few computrons.
export const buildRootObject = () => {
  let words;
  let objects;
  let shaped;
  let kept = 0;
  return Far('hostile', {
    walk: () => {
      words ||= new Uint32Array(1 << 24);
      let at = 12345;
      for (let i = 0; i < 100_000; i += 1) {
        at = (Math.imul(at, 1664525) + 1013904223 + words[at >>> 8]) >>> 0;
      }
      return at;
    },
    chase: () => {
      if (!objects) {
        objects = [];
        for (let i = 0; i < 200_000; i += 1) objects.push({ next: undefined });
        for (let i = 0; i < 200_000; i += 1) objects[i].next = objects[(i * 123_457 + 7) % 200_000];
      }
      let object = objects[0];
      for (let i = 0; i < 100_000; i += 1) object = object.next;
      return object === objects[0];
    },
    shapes: () => {
      if (!shaped) {
        shaped = [];
        for (let i = 0; i < 50_000; i += 1) shaped.push({ [`key ${i}`]: 1, next: undefined });
        for (let i = 0; i < 50_000; i += 1) shaped[i].next = shaped[(i * 12_347 + 7) % 50_000];
      }
      let object = shaped[0];
      for (let i = 0; i < 100_000; i += 1) object = object.next;
      return object === shaped[0];
    },
    underflow: () => {
      let small = 4e-310;
      for (let i = 0; i < 100_000; i += 1) small = small * 0.9999 * 1.0001 * 1.00001;
      return small;
    },
    print: () => {
      const line = 'x'.repeat(4096);
      for (let i = 0; i < 300; i += 1) console.log(line);
    },
    mutter: () => {
      for (let i = 0; i < 1_000; i += 1) console.log();
    },
    multiply: () => {
      let number = 3n;
      for (let i = 0; i < 16; i += 1) number *= number;
      return String(number % 1_000_003n);
    },
    match: () => /^(a+)+$/.test(`${'a'.repeat(20)}b`),
    nest: () => {
      const text = `${'['.repeat(5_000)}${']'.repeat(5_000)}`;
      for (let i = 0; i < 20; i += 1) kept += JSON.parse(text).length;
    },
    holes: () => {
      const array = [];
      array.length = 1_000_000;
      return array.indexOf(1) + array.join('').length;
    },
    litter: () => {
      for (let i = 0; i < 50_000; i += 1) kept += [i, { i }].length;
    },
    join: () => {
      let text = '';
      for (let i = 0; i < 2_000; i += 1) text = `${text}${i}`;
      for (let i = 0; i < 2_000; i += 1) kept += text.slice(i, -i).indexOf('zz');
      return kept;
    },
  });
};
