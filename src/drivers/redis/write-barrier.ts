/**
 * How a master is made to refuse every write, keeping its data: `min-replicas-to-write` is set to a number of replicas that can never be there. Redis then answers each
 * write with NOREPLICAS from the very next command on, replicas go on receiving what was written before, and after CONFIG REWRITE a restart brings it back refusing.
 *
 * The number also says who set it and what was there before (base + former value), so that lifting the barrier needs no memory outside of the server: a crash of the
 * controller can't lose the former setting.
 *
 * Rejected: REPLICAOF erases what only this master has. CLIENT PAUSE ends by itself and is forgotten at a restart. ACLs leave connections of the default user open and
 * need to know every user.
 */

export type Barrier = 'none' | 'freeze' | 'fence';

const freezeBase = 1_100_000_000;
const fenceBase = 1_200_000_000;
const formerMax = 1_000_000;

export function readBarrier(minReplicasToWrite: number): { readonly barrier: Barrier; readonly former: number } {
  if (minReplicasToWrite >= fenceBase) return { barrier: 'fence', former: minReplicasToWrite - fenceBase };
  if (minReplicasToWrite >= freezeBase) return { barrier: 'freeze', former: minReplicasToWrite - freezeBase };
  return { barrier: 'none', former: minReplicasToWrite };
}

/** The settings that raise a barrier over the present ones. With a largest lag of 0 Redis would not count replicas at all, and the barrier would do nothing. */
export function barrierSettings(
  barrier: 'freeze' | 'fence',
  present: { readonly minReplicasToWrite: number; readonly minReplicasMaxLagSeconds: number },
): readonly (readonly [string, string])[] {
  const off = present.minReplicasMaxLagSeconds === 0;
  const former = off ? 0 : Math.min(readBarrier(present.minReplicasToWrite).former, formerMax);
  return [
    ['min-replicas-to-write', String((barrier === 'fence' ? fenceBase : freezeBase) + former)],
    ...(off ? [['min-replicas-max-lag', '10'] as const] : []),
  ];
}
