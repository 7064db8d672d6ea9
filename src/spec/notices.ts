/** What is no fault, but must not go unsaid: parts of a spec that are read and checked, and that nothing acts on yet. */
import type { Fault } from './fault.ts';
import { faultAt } from './fault-collector.ts';
import { childOf, entriesOf, type LocatedNode } from './located-node.ts';

const plannedSections = ['drills', 'tell'] as const;

/** Keys inside sections that are acted on, with what is done instead. */
const plannedKeys = [
  { section: 'objectives', key: 'availability', instead: 'Availability is not measured yet; recovery time and loss are.' },
  {
    section: 'failover',
    key: 'commit-window',
    instead: 'A failover is final at once: go back with holdfast reprotect and holdfast failback.',
  },
  { section: 'failback', key: 'canary', instead: 'A failback moves all traffic at once.' },
  { section: 'failback', key: 'bake', instead: 'A failback moves all traffic at once.' },
  { section: 'failback', key: 'abort-when', instead: 'A failback moves all traffic at once; watch your own limits.' },
] as const;

function message(what: string, verb: 'is' | 'are'): string {
  return `${what} ${verb} read and checked, but this version does not act on ${verb === 'is' ? 'it' : 'them'} yet`;
}

const hint = 'Keep doing by hand, or by other means, what it asks for.';

/** One notice for each kind of part, at the first of them. */
export function noticesOf(root: LocatedNode): readonly Fault[] {
  const notices: Fault[] = [];
  for (const { section, key, instead } of plannedKeys) {
    const entry = entriesOf(childOf(root, section)).get(key);
    if (entry !== undefined) notices.push(faultAt(entry.key, [section, key], message(`${section}.${key}`, 'is'), instead));
  }
  for (const section of plannedSections) {
    const entry = entriesOf(root).get(section);
    if (entry !== undefined) notices.push(faultAt(entry.key, [section], message(section, section === 'tell' ? 'is' : 'are'), hint));
  }
  const controllers = entriesOf(root).get('controllers');
  const isAboutSeveral = [...entriesOf(controllers?.node).keys()].some((key) => key !== 'keep-executions');
  if (controllers && isAboutSeveral && !entriesOf(root).has('state'))
    notices.push(
      faultAt(
        controllers.key,
        ['controllers'],
        'the state is embedded: there is one controller, and nothing shares it',
        'Several controllers need state: { etcd: { endpoints: [...] } }.',
      ),
    );
  const regions = entriesOf(root).get('regions');
  const roles = [...entriesOf(childOf(root, 'regions')).values()].map(({ node }) => childOf(node, 'role'));
  if (regions && !roles.some((role) => role?.kind === 'scalar' && role.value === 'standby'))
    notices.push(
      faultAt(
        regions.key,
        ['regions'],
        'no region is a standby: nothing could take over, and a restore from backups is the only way back',
        'Give a second region the role standby once there is one.',
      ),
    );
  return notices;
}
