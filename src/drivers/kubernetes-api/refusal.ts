/** What a refusal of the API means: its Status carries a reason and causes, and each kind of refusal is another error. */
import { fail, HoldfastError } from '../../base/errors.ts';
import type { JsonObject } from '../../base/json.ts';
import type { Evidence } from '../../contracts/observation.ts';
import { evidenceOfNetError } from '../../contracts/workload/net-evidence.ts';
import { objectsAt, textAt } from './objects.ts';

export function refusalOf(cluster: string, path: string, status: number, answer: JsonObject | undefined): HoldfastError {
  const reason = textAt(answer, 'reason') ?? '';
  const message = `${cluster}: ${textAt(answer, 'message') ?? `HTTP status ${status} for ${path}`}`;
  const causes = objectsAt(answer, 'details', 'causes').map((each) => ({
    reason: String(each.reason ?? ''),
    field: String(each.field ?? ''),
    message: String(each.message ?? ''),
  }));
  const parts = { message, details: { status, reason, ...(causes.length > 0 ? { causes } : {}) } };
  if (status === 401)
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      ...parts,
      hint: 'The token or certificate is not accepted: it may have ended, or be another cluster’s.',
    });
  if (status === 403 && !/exceeded quota/.test(message))
    return fail('SYSTEM_WRONG_CREDENTIALS', {
      ...parts,
      hint: 'Give the user a Role with this right; the README of the driver lists all of them.',
    });
  if (status === 404 && answer === undefined) return fail('SYSTEM_WRONG_ANSWER', parts);
  if (status === 404)
    return fail('NOT_FOUND', {
      ...parts,
      ...(/could not find the requested resource/.test(message)
        ? { hint: 'The cluster has no such kind: is its definition (CRD) installed?' }
        : {}),
    });
  if (status === 409 && reason !== 'AlreadyExists' && !causes.some((each) => each.reason === 'FieldManagerConflict'))
    return fail('STATE_CONFLICT', parts);
  if (status === 429)
    return fail('SYSTEM_NOT_SERVING', {
      ...parts,
      ...(causes.some((each) => each.reason === 'DisruptionBudget') ? { hint: 'A PodDisruptionBudget does not allow it now.' } : {}),
    });
  if (status >= 500) return fail('SYSTEM_NOT_SERVING', parts);
  return fail('SYSTEM_REFUSED', parts);
}

/** It is there already, whoever made it: the one refusal that is read as an answer. */
export const isAlreadyThere = (error: unknown): boolean =>
  error instanceof HoldfastError && error.code === 'SYSTEM_REFUSED' && error.details.reason === 'AlreadyExists';

/**
 * What a failed look says. `of` is what the reading is about: of the API itself a refused connection is evidence; of what runs in the cluster it says nothing, for pods serve on without the API.
 */
export function evidenceOfRefusal(error: unknown, cluster: string, of: 'the API' | 'what runs in it'): Evidence {
  if (!(error instanceof HoldfastError)) return evidenceOfNetError(error, cluster);
  const { message, code } = error;
  if (code === 'SYSTEM_WRONG_CREDENTIALS') return { kind: 'not-allowed', detail: message };
  if (code === 'NOT_FOUND') return { kind: 'wrong-answer', detail: message };
  if (code === 'SYSTEM_REFUSED' || code === 'SECRET_MISSING' || code === 'SYSTEM_WRONG_IDENTITY') return { kind: 'error', detail: message };
  if (code === 'SYSTEM_NOT_SERVING' || code === 'SYSTEM_WRONG_ANSWER')
    return { kind: of === 'the API' ? 'wrong-answer' : 'error', detail: `the API server does not answer as it should: ${message}` };
  const evidence = evidenceOfNetError(error, cluster);
  if (of === 'the API' || (evidence.kind !== 'refused' && evidence.kind !== 'connection-lost')) return evidence;
  return { kind: 'unreachable', detail: `the API server can not be asked, which says nothing of the pods: ${evidence.detail}` };
}
