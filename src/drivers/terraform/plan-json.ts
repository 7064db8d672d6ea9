/** What a saved plan would take away, and where the state is. Pure. https://developer.hashicorp.com/terraform/internals/json-format */
import { z } from 'zod';
import { fail } from '../../base/errors.ts';
import { parseBody } from '../../contracts/workload/answer-check.ts';

export interface Loss {
  readonly address: string;
  readonly how: 'destroyed' | 'replaced' | 'forgotten';
}

export interface PlannedChanges {
  readonly losses: readonly Loss[];
  readonly changes: number;
}

const planShape = z.looseObject({
  format_version: z.string().regex(/^1\./),
  resource_changes: z
    .array(z.looseObject({ address: z.string(), change: z.looseObject({ actions: z.array(z.string()).min(1) }) }))
    .default([]),
  errored: z.boolean().default(false),
  complete: z.boolean().default(true),
});

/** Anything that can't be read for certain is refused: what is not seen can't be judged. */
export function plannedChanges(text: string, where: string): PlannedChanges {
  const parsed = planShape.safeParse(parseBody(text));
  if (!parsed.success) throw fail('SYSTEM_WRONG_ANSWER', { message: `the saved plan of ${where} can not be read as JSON of format 1` });
  const { resource_changes: changed, errored, complete } = parsed.data;
  if (errored || !complete)
    throw fail('SYSTEM_REFUSED', {
      message: `the saved plan of ${where} is not whole: planning ended early`,
      hint: 'Mend what the plan complains of.',
    });
  const losses = changed.flatMap(({ address, change: { actions } }): Loss[] => {
    if (actions.includes('delete')) return [{ address, how: actions.includes('create') ? 'replaced' : 'destroyed' }];
    return actions.includes('forget') ? [{ address, how: actions.includes('create') ? 'replaced' : 'forgotten' }] : [];
  });
  const changes = changed.filter(({ change: { actions } }) => !actions.every((action) => action === 'no-op' || action === 'read')).length;
  return { losses, changes };
}

/** Those that nobody has approved. */
export function unapprovedLosses({ losses }: PlannedChanges, approved: readonly string[]): readonly Loss[] {
  return losses.filter(({ address }) => !approved.includes(address));
}

export interface BackendFacts {
  /** `local`, `s3`, `http`. */
  readonly type: string;
  /** Where the backend itself says so. */
  readonly region?: string;
}

export function backendOf(text: string): BackendFacts | undefined {
  const { backend } = (parseBody(text) ?? {}) as {
    readonly backend?: { readonly type?: unknown; readonly config?: Readonly<Record<string, unknown>> | null };
  };
  if (typeof backend?.type !== 'string') return undefined;
  const region = backend.config?.region;
  return { type: backend.type, ...(typeof region === 'string' && region !== '' ? { region } : {}) };
}
