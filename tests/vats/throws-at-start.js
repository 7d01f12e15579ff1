// A vat that cannot be built.
export const buildRootObject = () => {
  throw Error('not in the mood');
};
