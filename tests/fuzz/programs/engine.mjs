// The JavaScript worker in Node's own WebAssembly: the same module, byte for byte, that vats run on.
// What it computes does not depend on who compiles it: WebAssembly leaves nothing open but the bits of a NaN, which
// the vat host makes canonical and programs here do not look at. `vat/js/tests/programs.rs` runs the same programs on it under wasmer.

/** The end of an engine that did not return from a call: it ran out of something, or trapped. */
export class EngineEnd extends Error {}

/** Compiles the worker of these bytes; the result makes engines. */
export const loadWorker = bytes => {
  const module = new WebAssembly.Module(bytes);
  return () => startEngine(module);
};

const startEngine = module => {
  const lines = [];
  const textOf = (pointer, length) =>
    new TextDecoder().decode(new Uint8Array(exports.memory.buffer, pointer >>> 0, length >>> 0));
  const { exports } = new WebAssembly.Instance(module, {
    capstan: {
      syscall: () => 0,
      take_result: () => {},
      done: () => {},
      log: (_level, pointer, length) => lines.push(textOf(pointer, length)),
      fault: kind => {
        throw new EngineEnd(`fault ${kind}`);
      },
    },
  });

  /** Evaluates a script: the lines that it printed. Throws `EngineEnd` if the engine ended. */
  const run = script => {
    lines.length = 0;
    const bytes = new TextEncoder().encode(script);
    try {
      const pointer = exports.capstan_alloc(bytes.length) >>> 0;
      new Uint8Array(exports.memory.buffer, pointer, bytes.length).set(bytes);
      exports.capstan_boot(pointer, bytes.length);
    } catch (error) {
      throw error instanceof EngineEnd ? error : new EngineEnd(`${error.name}: ${error.message}`);
    }
    return [...lines];
  };
  return { run };
};
