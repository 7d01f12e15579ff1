// `capstanConsole`: makes one line of what one call of a console prints, and of a rejection that nobody handles. SES
// prints an error in several parts: its tag, its message, its frames and its notes. Evaluated after SES lockdown and
// before the supervisor, which uses it.
(() => {
  const { apply } = Reflect;

  const FRAME = '    at ';

  // Modules of a vat are named `.../package/module` by their sourceURL. All other frames are the engine's, SES's and
  // liveslots'.
  const VAT_MODULE = '(.../';

  /** Returns the frames of a stack on one line: those of the vat's own modules, if there are any. */
  const framesOf = stack => {
    const frames = stack
      .split('\n')
      .map(frame => frame.trim())
      .filter(frame => frame !== '');
    const own = frames.filter(frame => frame.includes(VAT_MODULE));
    return (own.length > 0 ? own : frames)
      .map(frame => frame.replace(VAT_MODULE, '('))
      .join(' ');
  };

  /** Returns a line with the message of an error, in place of the tag `(Error#1)` at its end if that is the error's. */
  const withMessage = (line, text) => {
    const start = line.lastIndexOf(' (');
    const tag = line.slice(start < 0 ? 1 : start + 2, -1);
    if (!line.endsWith(')') || !text.startsWith(`${tag}:`)) {
      return `${line}; ${text}`;
    }
    return start < 0 ? text : `${line.slice(0, start)}: ${text}`;
  };

  /** Returns the parts of a line, each of them an array of texts, as one text. */
  const joined = parts => {
    let line;
    for (const part of parts) {
      const text = part.join(' ');
      if (line === undefined) {
        line = text;
      } else if (text.startsWith(FRAME)) {
        line = `${line} ${framesOf(text)}`;
      } else if (text !== '') {
        line = withMessage(line, text);
      }
    }
    return line;
  };

  /**
   * Calls `printAll(...args)`, and `send` with all that it printed by the global `print`, as one text.
   *
   * @param {(line: string) => void} send
   * @param {(...args: unknown[]) => void} printAll
   * @param {unknown[]} args
   */
  const printOnce = (send, printAll, args) => {
    const parts = [];
    const { print } = globalThis;
    globalThis.print = (...texts) => {
      parts.push(texts);
    };
    try {
      apply(printAll, undefined, args);
    } finally {
      globalThis.print = print;
      if (parts.length > 0) {
        send(joined(parts));
      }
    }
  };

  let warn;

  globalThis.capstanConsole = {
    printOnce,

    /** Sets how rejections are reported that nobody handles. */
    warnBy: given => {
      warn = given;
    },

    // The engine calls this when a vat has come to rest and nothing handles a promise that was rejected.
    unhandled: reason => warn && warn('unhandled rejection', reason),
  };
})();
