//! Changes to Agoric's scripts that make them cheaper. Vats cannot observe them.

use crate::seams::Seam;

/// Returns the changes of the supervisor with liveslots.
pub(crate) fn supervisor() -> impl Iterator<Item = Seam> {
    ASSERT
        .into_iter()
        .chain(REFERENCES)
        .chain(REST)
        .chain(DEBUG)
        .chain(WORDS)
        .chain(METER)
        .chain(MARSHAL)
        .chain(PASS_STYLE)
        .chain(CAPDATA)
        .chain(SYSCALLS)
        .chain(CACHES)
}

/// Returns the changes of lockdown, which has eventual sends too.
pub(crate) fn lockdown() -> impl Iterator<Item = Seam> {
    EVENTUAL_SEND.into_iter()
}

/// The module `@endo/errors` calls the global `assert` only where a check fails.
const ASSERT: [Seam; 1] = [(
    r"const assert = (value, optDetails, errContructor, options) =>\n  globalAssert(value, optDetails, errContructor, options);",
    r"const assert = (value, optDetails, errContructor, options) => {\n  value || globalAssert(value, optDetails, errContructor, options);\n};",
)];

/// References are parsed without a list of their parts.
const REFERENCES: [Seam; 4] = [
    (r"if (idSuffix.startsWith('d')) {", r"if (idSuffix[0] === 'd') {"),
    (r"} else if (idSuffix.startsWith('v')) {", r"} else if (idSuffix[0] === 'v') {"),
    (
        r"  assert.typeof(vref, 'string');\n  const parts = vref.split(':');\n  parts.length === 1 || parts.length === 2 || Fail`invalid vref ${vref}`;\n  const [baseRef, facetStr] = parts;\n  let type;",
        r"  typeof vref === 'string' || assert.typeof(vref, 'string');\n  let baseRef = vref;\n  let facetStr;\n  if (vref.includes(':')) {\n    const parts = vref.split(':');\n    parts.length === 2 || Fail`invalid vref ${vref}`;\n    [baseRef, facetStr] = parts;\n  }\n  let type;",
    ),
    (
        r"  } else {\n    id = Nat(BigInt(idSuffix));\n  }\n  if (subid !== undefined && facetStr",
        r"  } else {\n    id = BigInt(idSuffix);\n    id >= 0n || Nat(id);\n  }\n  if (subid !== undefined && facetStr",
    ),
];

/// The end of a delivery needs no promise with handlers, and no race that notes its contestants.
const REST: [Seam; 2] = [
    (
        r"  const { promise: queueEmptyP, resolve } = makePromiseKit();\n  setImmediate(() => resolve());\n  return queueEmptyP;",
        r"  return new Promise(resolve => {\n    setImmediate(resolve);\n  });",
    ),
    (
        r"        return Promise.race([p, Promise.reject('buildRootObject unresolved')]);",
        r"        return new Promise((resolve, reject) => {\n          p.then(resolve, reject);\n          void Promise.resolve('buildRootObject unresolved').then(reject);\n        });",
    ),
];

/// Texts for debugging are made only where they are printed, which is never.
const DEBUG: [Seam; 9] = [
    (
        r"lsdebug(`makeImportedPresence(${slot})`);",
        r"enableLSDebug && lsdebug(`makeImportedPresence(${slot})`);",
    ),
    (
        r"lsdebug(`makeImportedPresence handler.applyMethod (${slot})`);",
        r"enableLSDebug && lsdebug(`makeImportedPresence handler.applyMethod (${slot})`);",
    ),
    (
        r"lsdebug(`makePipelinablePromise(${vpid})`);",
        r"enableLSDebug && lsdebug(`makePipelinablePromise(${vpid})`);",
    ),
    (
        r"lsdebug(`Promise allocation ${forVatID}:${resultVPID} in queueMessage`);",
        r"enableLSDebug && lsdebug(`Promise allocation ${forVatID}:${resultVPID} in queueMessage`);",
    ),
    (
        r"lsdebug(`unregisterUnreferencedVPID ${forVatID}:${vpid}`);",
        r"enableLSDebug && lsdebug(`unregisterUnreferencedVPID ${forVatID}:${vpid}`);",
    ),
    (
        r"lsdebug(`ls.thenHandler fired`, value);",
        r"enableLSDebug && lsdebug(`ls.thenHandler fired`, value);",
    ),
    (r"lsdebug(\n      `ls.qm send(", r"enableLSDebug && lsdebug(\n      `ls.qm send("),
    (
        r"lsdebug(\n      `ls[${forVatID}].dispatch.deliver",
        r"enableLSDebug && lsdebug(\n      `ls[${forVatID}].dispatch.deliver",
    ),
    (
        r"lsdebug(\n      `ls.dispatch.notify(",
        r"enableLSDebug && lsdebug(\n      `ls.dispatch.notify(",
    ),
];

/// Deliveries and results of syscalls come from the host, which makes them of its own types. A syscall is checked once.
const WORDS: [Seam; 6] = [
    (
        r"        harden(vatDeliveryObject);\n        insistVatDeliveryObject(vatDeliveryObject);\n",
        r"        harden(vatDeliveryObject);\n",
    ),
    (
        r"      workerLog(' ... syscall result:', result);\n      insistVatSyscallResult(result);\n      return result;",
        r"      return result;",
    ),
    (r"      workerLog('doSyscall', vatSyscallObject);\n", r""),
    (
        r"    const vsr = r;\n    insistVatSyscallResult(vsr);\n    const [type, ...rest] = vsr;\n    switch (type) {\n      case 'ok': {\n        const [data] = rest;\n        return data;\n      }\n      case 'error': {\n        const [err] = rest;\n        throw",
        r"    const vsr = r;\n    const type = vsr[0];\n    switch (type) {\n      case 'ok': {\n        return vsr[1];\n      }\n      case 'error': {\n        const err = vsr[1];\n        throw",
    ),
    (
        r"function insistVatSyscallObject(vso) {\n  assert(Array.isArray(vso));\n  const [type, ...rest] = vso;\n  switch (type) {\n    case 'send': {\n      const [target, msg] = rest;\n",
        r"function insistVatSyscallObject(vso) {\n  assert(Array.isArray(vso));\n  const type = vso[0];\n  const rest = vso.slice(1);\n  switch (type) {\n    case 'send': {\n      const target = rest[0];\n      const msg = rest[1];\n",
    ),
    (
        r"    case 'vatstoreSet': {\n      const [key, data] = rest;\n",
        r"    case 'vatstoreSet': {\n      const key = rest[0];\n      const data = rest[1];\n",
    ),
];

/// The worker has no meter of its own to switch off.
const METER: [Seam; 2] = [
    (
        r"    const limit = globalThis.currentMeterLimit();\n    const before = globalThis.resetMeter(0, 0);\n    meteringDisabled += 1;\n    try {\n      return thunk();\n    } finally {\n      globalThis.resetMeter(limit, before);\n      meteringDisabled -= 1;\n    }",
        r"    meteringDisabled += 1;\n    try {\n      return thunk();\n    } finally {\n      meteringDisabled -= 1;\n    }",
    ),
    (
        r"      return runWithoutMetering(() => f(...args));\n",
        r"      meteringDisabled += 1;\n      try {\n        return f(...args);\n      } finally {\n        meteringDisabled -= 1;\n      }\n",
    ),
];

/// A body is decoded in one format, and what only the decoder sees is not hardened.
const MARSHAL: [Seam; 8] = [
    (r"  const makeFullRevive = slots => {", r"  const makeFullRevive = (slots, isSmallcaps) => {"),
    (
        r"    const reviveFromCapData = makeDecodeFromCapData({",
        r"    const reviveFromCapData = !isSmallcaps && makeDecodeFromCapData({",
    ),
    (
        r"    const reviveFromSmallcaps = makeDecodeFromSmallcaps({",
        r"    const reviveFromSmallcaps = isSmallcaps && makeDecodeFromSmallcaps({",
    ),
    (
        r"    return harden({ reviveFromCapData, reviveFromSmallcaps });",
        r"    return { reviveFromCapData, reviveFromSmallcaps };",
    ),
    (
        r"    const { reviveFromCapData, reviveFromSmallcaps } = makeFullRevive(slots);\n",
        r"    const isSmallcaps = body.charAt(0) === '#';\n    const { reviveFromCapData, reviveFromSmallcaps } = makeFullRevive(slots, isSmallcaps);\n",
    ),
    (
        r"    if (body.charAt(0) === '#') {\n      const smallcapsBody = body.slice(1);\n      const encoding = harden(JSON.parse(smallcapsBody));",
        r"    if (isSmallcaps) {\n      const smallcapsBody = body.slice(1);\n      const encoding = JSON.parse(smallcapsBody);",
    ),
    (r"return harden({ index, repeat: true });", r"return { index, repeat: true };"),
    (r"return harden({ index, repeat: false });", r"return { index, repeat: false };"),
];

/// Styles that are known without a look inside the value.
const PASS_STYLE: [Seam; 1] = [(
    r"  const passStyleOf = passable => {\n    /* Even when",
    r"  const passStyleOf = passable => {\n    if (!isPrimitive(passable)) {\n      const style = passStyleMemo.get(passable);\n      if (style) {\n        return style;\n      }\n    } else if (passable === null) {\n      return 'null';\n    } else if (typeof passable !== 'string' && typeof passable !== 'symbol') {\n      return typeof passable;\n    }\n    /* Even when",
)];

/// No slots need no check.
const CAPDATA: [Seam; 1] = [(
    r"  assert(\n    specimen.slots.every(slot => typeof slot === 'string'),\n    'All slots must be strings',\n  );",
    r"  specimen.slots.length === 0 || assert(\n    specimen.slots.every(slot => typeof slot === 'string'),\n    'All slots must be strings',\n  );",
)];

/// The handler of a promise that waits for its resolution makes its functions once, and its promise when it is used. Most
/// are never used.
const EVENTUAL_SEND: [Seam; 6] = [
    (
        r"       const makePostponedHandler = HandledPromise => {\n  /** @type {() => void} */\n  let donePostponing;\n\n  const interlockP = new Promise(resolve => {\n    donePostponing = () => resolve(undefined);\n  });\n\n  const makePostponedOperation",
        r"       let postponedOperations;\nconst makePostponedOperations = HandledPromise => {\n  const makePostponedOperation",
    ),
    (
        r"      /* console.log(`forwarding ${postponedOperation} ${args[0]}`);*/\n      return new HandledPromise((resolve, reject) => {\n        interlockP\n",
        r"      const { postponing } = this;\n      return new HandledPromise((resolve, reject) => {\n        postponing()\n",
    ),
    (
        r"  const postponedHandler = {\n    get: makePostponedOperation('get'),",
        r"  return {\n    get: makePostponedOperation('get'),",
    ),
    (
        r"  /* @ts-expect-error 2454*/\n  assert(donePostponing);\n\n  return [postponedHandler, donePostponing];\n};$h͏_once.makePostponedHandler",
        r"};\nconst makePostponedHandler = HandledPromise => {\n  postponedOperations ||= makePostponedOperations(HandledPromise);\n  let isDone = false;\n  let release;\n  let interlock;\n  const postponing = () => {\n    interlock ||= new Promise(resolve => {\n      isDone ? resolve(undefined) : (release = resolve);\n    });\n    return interlock;\n  };\n  const donePostponing = () => {\n    isDone = true;\n    release && release(undefined);\n  };\n  return [{ __proto__: postponedOperations, postponing }, donePostponing];\n};$h͏_once.makePostponedHandler",
    ),
    (
        r"    const [_p, operation, opArgs, ...dispatchArgs] = handleArgs;\n    let [p] = handleArgs;\n",
        r"    let p = handleArgs[0];\n    const operation = handleArgs[1];\n    const opArgs = handleArgs[2];\n    const dispatchArgs = handleArgs.slice(3);\n",
    ),
    (
        r"    const [trackedDoDispatch] = trackTurns([doDispatch]);",
        r"    const trackedDoDispatch = trackTurns([doDispatch])[0];",
    ),
];

/// A syscall is written and its result read in one step (`worker/globals.c`). The most frequent ones are checked at once.
const SYSCALLS: [Seam; 2] = [
    (
        r"    call: item => decodeData(issueCommand(encode(item))),\n",
        r"    call: item => issueJSON(item),\n",
    ),
    (
        r"function insistVatSyscallObject(vso) {\n  assert(Array.isArray(vso));\n  const type = vso[0];\n",
        r"function insistVatSyscallObject(vso) {\n  assert(Array.isArray(vso));\n  const type = vso[0];\n  if (\n    (type === 'vatstoreGet' || (type === 'vatstoreSet' && typeof vso[2] === 'string')) &&\n    typeof vso[1] === 'string'\n  ) {\n    return;\n  }\n",
    ),
];

/// A cache that was not used needs no flush. Every delivery flushes all.
const CACHES: [Seam; 1] = [(
    r"    flush: () => {\n      const keys = [...dirtyKeys.keys()];\n",
    r"    flush: () => {\n      if (stash.size === 0 && dirtyKeys.size === 0) {\n        return;\n      }\n      const keys = [...dirtyKeys.keys()];\n",
)];
