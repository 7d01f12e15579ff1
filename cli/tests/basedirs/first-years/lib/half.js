// Everything that looks like a wavy dot here is none: a string, a comment (x~.y), a complement.
export const half = x => `${x} ~.half(${x}) ${~.5} ` + 'x~.y';
