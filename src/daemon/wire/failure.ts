// A Diagnostic that has travelled: the same code, message, place, hint and cause, so that the caret still stands where it belongs.

import { Diagnostic, type DiagnosticCode, sqlStates } from '../../core/diagnostic.ts';

type DiagnosticJson = ReturnType<Diagnostic['toJSON']>;

export function readDiagnostic(json: DiagnosticJson): Diagnostic {
  return new Diagnostic(isKnown(json.code) ? json.code : 'internal', json.message, {
    span: json.span,
    hint: json.hint,
    cause: json.cause === undefined ? undefined : new Error(json.cause),
    more: json.more?.map(readDiagnostic),
  });
}

/** A newer daemon may know other words. */
function isKnown(code: string): code is DiagnosticCode {
  return Object.hasOwn(sqlStates, code);
}
