/**
 * Every error that Holdfast can raise: its code, its kind and the hint shown when the place that raises it has none better.
 * The engine decides by kind alone:
 *   invalid          the user must change something: never retried
 *   transient        may pass by itself: retried within the step's budget
 *   refused          the system answered and said no: never retried, the answer is shown
 *   unknown-outcome  sent, and no answer came: inspect before anything else, never retried blindly
 *   bug              Holdfast is wrong: stop
 * `docs/errors.md` is generated from this table.
 */
export type ErrorKind = 'invalid' | 'transient' | 'refused' | 'unknown-outcome' | 'bug';

interface CatalogueEntry {
  readonly kind: ErrorKind;
  /** What has happened, in a few words. */
  readonly title: string;
  /** What the user can do about it, in one sentence. */
  readonly hint: string;
}

const catalogue = {
  // Holdfast itself
  BUG_BROKEN_BELIEF: {
    kind: 'bug',
    title: 'something that should always hold does not',
    hint: 'Please report this with the output of the command.',
  },
  USAGE: { kind: 'invalid', title: 'the command line is not understood', hint: 'See --help of the command.' },
  NOT_FOUND: { kind: 'invalid', title: 'there is no such thing', hint: 'List what exists, then name one of those.' },
  INTERRUPTED: {
    kind: 'transient',
    title: 'interrupted',
    hint: 'Run holdfast resume to go on, holdfast rollback to undo what can be undone, or holdfast abort to end it as it is.',
  },
  TIMED_OUT: {
    kind: 'transient',
    title: 'no answer in time',
    hint: 'Look at whether the system answers at all; raise the time-out if it is only slow.',
  },

  FILE_EXISTS: { kind: 'refused', title: 'there is a file of that name already', hint: 'Take another name, or move the file away.' },

  // The spec
  SPEC_INVALID: { kind: 'invalid', title: 'the spec has faults', hint: 'Mend each line named and run holdfast validate again.' },
  SPEC_UNREADABLE: {
    kind: 'invalid',
    title: 'the spec can not be read',
    hint: 'Name an existing, readable file with --spec, or run holdfast init.',
  },
  SECRET_MISSING: {
    kind: 'invalid',
    title: 'a secret is not set',
    hint: 'Set the environment variable or write the file that the spec names.',
  },

  // The state
  STATE_CONFLICT: { kind: 'transient', title: 'the state was changed by somebody else in between', hint: 'Read again and decide anew.' },
  STATE_LEASE_HELD: {
    kind: 'refused',
    title: 'another process holds the lease',
    hint: 'Wait until it ends, or stop the process that holds it.',
  },
  STATE_LEASE_LOST: { kind: 'refused', title: 'the lease was lost', hint: 'Another controller goes on; see holdfast executions.' },
  STATE_LOCKED: {
    kind: 'transient',
    title: 'the state database is locked',
    hint: 'Another process writes to it for a long time; stop it or wait.',
  },
  STATE_FULL: {
    kind: 'refused',
    title: 'the state can not be written: no space left',
    hint: 'Free space on the disk of the state directory; nothing was started.',
  },
  STATE_DAMAGED: {
    kind: 'refused',
    title: 'the state is damaged',
    hint: 'Restore the state directory; the journal must not be guessed at.',
  },
  STATE_OTHER_PLATFORM: {
    kind: 'refused',
    title: 'the state belongs to another platform',
    hint: 'Use the state directory of this platform, or another --state.',
  },
  STATE_NEWER_FORMAT: { kind: 'refused', title: 'the state was written by a newer Holdfast', hint: 'Run that version, or a newer one.' },
  STATE_UNREACHABLE: {
    kind: 'transient',
    title: 'the shared state can not be reached',
    hint: 'Look at the members of etcd and the network to them: a majority of them must run and see each other. Nothing is decided meanwhile.',
  },
  STATE_TOO_LARGE: {
    kind: 'refused',
    title: 'a change is larger than the shared state takes at once',
    hint: 'Raise --max-request-bytes of the members of etcd.',
  },
  STATE_OTHER_CLUSTER: {
    kind: 'refused',
    title: 'the shared state is in another cluster than before',
    hint: 'Look at state.etcd.endpoints. If etcd was restored from a snapshot, stop all controllers, then holdfast state accept --reason TEXT.',
  },
  STATE_WENT_BACK: {
    kind: 'refused',
    title: 'the shared state is older than what was seen of it before',
    hint: 'etcd was restored from an old snapshot, or emptied. Find out what was lost; then stop all controllers, and holdfast state accept --reason TEXT.',
  },
  STATE_MOVED: {
    kind: 'refused',
    title: 'the state was moved elsewhere',
    hint: 'Use the spec with the state section that it was moved to.',
  },
  STATE_NOT_EMPTY: {
    kind: 'refused',
    title: 'there is something already where the state should go',
    hint: 'Name another state.etcd.prefix, or look at what is there.',
  },

  // Several controllers
  REGION_NEEDED: {
    kind: 'invalid',
    title: 'nobody said in which region this controller stands',
    hint: 'Name it with --region, or set HOLDFAST_REGION.',
  },
  REGION_RETURNING: {
    kind: 'transient',
    title: 'a region that fenced itself is being made to serve again',
    hint: 'Wait a moment: it either serves again, or its lease runs out and it is fenced.',
  },
  REGION_CLAIMED: {
    kind: 'refused',
    title: 'another process is the controller of this region',
    hint: 'Stop that one, or name the region that this machine really stands in.',
  },

  // Executions
  EXECUTION_NOT_ALLOWED: {
    kind: 'refused',
    title: 'the execution may not start',
    hint: 'See holdfast why for what blocks it and what would change that.',
  },
  EXECUTION_WRONG_STATE: { kind: 'refused', title: 'the execution is not in a state that allows this', hint: 'See holdfast executions.' },
  EXECUTION_RUNNING: { kind: 'refused', title: 'another execution is under way', hint: 'Wait for it, or end it with holdfast abort.' },
  APPROVAL_MISSING: { kind: 'refused', title: 'approvals are missing', hint: 'Have the named number of people run holdfast approve.' },
  LOSS_OVER_BUDGET: {
    kind: 'refused',
    title: 'more may be lost than the budget allows',
    hint: 'Give --accept-loss with the loss you accept, and the approvers it needs.',
  },
  TARGET_NOT_READY: { kind: 'refused', title: 'the target region is not ready', hint: 'See holdfast check for what is missing there.' },
  FENCE_NOT_PROVEN: {
    kind: 'refused',
    title: 'nothing proves that the former primary can no longer acknowledge writes',
    hint: 'Stop it by hand and confirm with --fenced-by NAME, or give the site hands.',
  },
  COOLING_DOWN: {
    kind: 'refused',
    title: 'the last change of the active region was too short a time ago',
    hint: 'Wait for the cool-down to end, or act by hand.',
  },
  NO_SUCH_VERB: { kind: 'invalid', title: 'the driver has no such capability', hint: 'See the driver reference for what it can do.' },
  STEP_FAILED: { kind: 'refused', title: 'a step failed', hint: 'Mend the cause and run holdfast retry, or holdfast skip with a reason.' },
  STEP_UNCERTAIN: {
    kind: 'unknown-outcome',
    title: 'it can not be told whether the step has taken effect',
    hint: 'Look at the system by hand, then holdfast retry or holdfast skip.',
  },
  PLAN_IMPOSSIBLE: { kind: 'refused', title: 'no plan can be made', hint: 'The message says what is missing.' },

  // Who may acknowledge writes
  GUARD_LOST: {
    kind: 'transient',
    title: 'the guard of the region does not answer',
    hint: 'Another one is started by itself; look at the log of the guard in the state directory if this stays.',
  },
  GUARD_TOO_LATE: {
    kind: 'refused',
    title: 'the guard fences the region, or has fenced it',
    hint: 'The lease was not renewed in time; another region may take over. See holdfast status.',
  },
  PRIMARY_TTL_TOO_SMALL: {
    kind: 'invalid',
    title: 'the lease of the active region is too short for what fencing takes there',
    hint: 'Raise controllers.ttl.',
  },

  // Systems
  EPOCH_SUPERSEDED: {
    kind: 'refused',
    title: 'a newer execution has already acted on the system',
    hint: 'Nothing was changed; see holdfast executions for the newer one.',
  },
  SYSTEM_NOT_SERVING: {
    kind: 'transient',
    title: 'the system answers that it can not serve now',
    hint: 'Look at its log; it is tried again within the time of the step.',
  },
  SYSTEM_UNREACHABLE: {
    kind: 'transient',
    title: 'the system can not be reached',
    hint: 'Look at whether it runs and at the network between.',
  },
  SYSTEM_REFUSED: { kind: 'refused', title: 'the system said no', hint: 'The message has its words.' },
  SYSTEM_WRONG_ANSWER: {
    kind: 'refused',
    title: 'the answer is not one this system gives',
    hint: 'Is it the right address and the right version?',
  },
  SYSTEM_WRONG_CREDENTIALS: {
    kind: 'refused',
    title: 'the credentials are not accepted',
    hint: 'Check user, password and privileges that the driver reference asks for.',
  },
  SYSTEM_WRONG_IDENTITY: {
    kind: 'refused',
    title: 'the system at this address is another one than before',
    hint: 'A different history answers there: find out why before anything is changed.',
  },
  SYSTEM_WRONG_ROLE: {
    kind: 'refused',
    title: 'the system is not in the role that this needs',
    hint: 'See holdfast status for the roles.',
  },
  SYSTEM_OUTCOME_UNKNOWN: {
    kind: 'unknown-outcome',
    title: 'sent, but no answer came back',
    hint: 'Holdfast inspects before it does anything more.',
  },

  // Where backups are kept
  STORE_UNREACHABLE: {
    kind: 'transient',
    title: 'the store of the backups does not answer',
    hint: 'Look at its address and at the network; holdfast check tries it.',
  },
  STORE_OUTCOME_UNKNOWN: {
    kind: 'unknown-outcome',
    title: 'the store was sent an object and did not answer',
    hint: 'It is looked at before anything is sent again.',
  },
  STORE_NOT_ALLOWED: {
    kind: 'refused',
    title: 'the store refuses us',
    hint: 'Look at the credentials, and at what they are allowed to do.',
  },
  STORE_FULL: { kind: 'refused', title: 'the store of the backups is full', hint: 'Free space, or prune: holdfast backups prune.' },
  STORE_MISSING_PLACE: {
    kind: 'invalid',
    title: 'the directory or bucket of the repository is not there',
    hint: 'Look at the name; a bucket is made beforehand, a directory by holdfast repository create.',
  },
  STORE_NO_OBJECT: {
    kind: 'refused',
    title: 'an object is missing from the store',
    hint: 'The backup that needs it can not be restored: holdfast verify says which others can.',
  },
  STORE_LOCKED: { kind: 'refused', title: 'the store keeps the object locked', hint: 'It can be removed once its lock has ended.' },
  STORE_NO_LOCK: {
    kind: 'invalid',
    title: 'the store can not lock objects',
    hint: 'Take "lock" out of the repository, or keep it in a bucket with Object Lock switched on.',
  },
  STORE_NO_KEY_SERVICE: {
    kind: 'invalid',
    title: 'the store can not encrypt with a key of a key management service',
    hint: 'Give the repository a key of its own under "encryption", or keep it in a bucket.',
  },
  STORE_UNSOUND: {
    kind: 'refused',
    title: 'the store does not keep what a repository needs',
    hint: 'Keep backups in a store that refuses to write an object twice.',
  },
  REPOSITORY_MISSING: { kind: 'invalid', title: 'there is no repository yet', hint: 'Make it with holdfast repository create NAME.' },
  REPOSITORY_EXISTS: { kind: 'refused', title: 'there is a repository already', hint: 'Name another directory, bucket or prefix.' },
  REPOSITORY_OTHER_PLATFORM: {
    kind: 'refused',
    title: 'the repository belongs to another platform',
    hint: 'Give each platform a directory or prefix of its own.',
  },
  REPOSITORY_NEWER_FORMAT: {
    kind: 'refused',
    title: 'the repository was written by a newer Holdfast',
    hint: 'Run that version, or a newer one.',
  },
  REPOSITORY_DAMAGED: {
    kind: 'refused',
    title: 'a record of the repository is damaged',
    hint: 'The message names the object; the others are not touched by it.',
  },
  KEY_WRONG: {
    kind: 'refused',
    title: 'the key or passphrase does not open the repository',
    hint: 'Give the one that belongs to this repository; holdfast repository show lists its key slots.',
  },
  KEY_MISSING: {
    kind: 'invalid',
    title: 'the repository is encrypted, and no key was given',
    hint: 'Name it under "encryption" in the spec. A key that is lost is never made anew: use the recovery key.',
  },
  KEY_SERVICE_UNREACHABLE: {
    kind: 'transient',
    title: 'the key management service does not answer',
    hint: 'Nothing encrypted can be written or restored meanwhile. The recovery key opens the repository without it.',
  },
  KEY_SERVICE_REFUSED: {
    kind: 'refused',
    title: 'the key management service does not let us use the key',
    hint: 'Look at whether the key is enabled, and whether kms:Encrypt and kms:Decrypt are allowed. The recovery key opens the repository without it.',
  },
  KEY_NOT_PROVEN: {
    kind: 'refused',
    title: 'the recovery key was not shown to work',
    hint: 'Write the recovery key down where it outlives this machine, then type it in when asked.',
  },

  // Backups
  BACKUP_DAMAGED: { kind: 'refused', title: 'a backup is damaged', hint: 'Restore another one; holdfast backups lists what is proven.' },
  BACKUP_INCOMPLETE: {
    kind: 'refused',
    title: 'a backup did not become complete',
    hint: 'Nothing of it counts; the message says what was missing.',
  },
  BACKUP_TOOL_FAILED: {
    kind: 'refused',
    title: 'a tool that takes, restores or checks a backup failed',
    hint: 'The message has the end of what it said.',
  },
  ARCHIVE_CONFLICT: {
    kind: 'refused',
    title: 'the archive holds another file of the same name',
    hint: 'Two servers archive under one history: find the one that should not, before anything else.',
  },
  ARCHIVE_GAP: {
    kind: 'refused',
    title: 'the archive has a gap',
    hint: 'Restore to a point before the gap, or from a backup taken after it.',
  },
  RESTORE_TARGET_NOT_EMPTY: { kind: 'refused', title: 'the place to restore into is not empty', hint: 'Name a new or an empty directory.' },
  RESTORE_TARGET_UNREACHABLE: {
    kind: 'refused',
    title: 'no backup leads to that point',
    hint: 'holdfast backups shows from when to when each component can be restored.',
  },
  RECOVERY_FELL_SHORT: {
    kind: 'refused',
    title: 'the recovery ended before the point that was asked for',
    hint: 'The message says how far it came.',
  },
  PROOF_FAILED: {
    kind: 'refused',
    title: 'a backup did not pass its proof',
    hint: 'It counts as no recovery point; holdfast backups show NAME has each check.',
  },
  PRUNE_REFUSED: {
    kind: 'refused',
    title: 'nothing was pruned, because it would not be safe',
    hint: 'The message says why, and what would make it safe.',
  },

  // Hands
  HANDS_UNREACHABLE: {
    kind: 'transient',
    title: 'the host can not be reached for commands',
    hint: 'Look at sshd and the network; holdfast check lists which plans need it.',
  },
  HANDS_HOST_KEY: {
    kind: 'refused',
    title: 'the host key is unknown or has changed',
    hint: 'Add the right key to the known hosts file after comparing it by another way.',
  },
  HANDS_KEY_REJECTED: {
    kind: 'refused',
    title: 'the host does not accept our key',
    hint: 'Add the public key to authorized_keys of the user.',
  },
  HANDS_NO_PROGRAM: {
    kind: 'invalid',
    title: 'the program is not installed on the host',
    hint: 'Install it there, or set its path in the spec.',
  },
  HANDS_MISSING: { kind: 'refused', title: 'the site has no hands', hint: 'Give the site hands (local or ssh) in the spec.' },
  HANDS_WRONG_USER: {
    kind: 'refused',
    title: 'the user named by "as" can not be taken on',
    hint: 'Log in (or run Holdfast) as root or as that user, or take "as" out of the spec.',
  },
  COMMAND_FAILED: { kind: 'refused', title: 'a command failed', hint: 'The message has the end of its output.' },
} as const satisfies Record<string, CatalogueEntry>;

export type ErrorCode = keyof typeof catalogue;
export const errorCatalogue: Readonly<Record<ErrorCode, CatalogueEntry>> = catalogue;
