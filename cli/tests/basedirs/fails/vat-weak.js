export const buildRootObject = () => {
  throw Error('not today');
};
