/**
 * FoundationDB over two regions: one cluster, whose active region is moved by priorities and, where a region is lost beyond that, forced. Everything goes through its own programs by the hands of the
 * sites; the driver holds nothing open and keeps nothing of its own beside a few keys under its prefix.
 */
import { defineDriver, type Site } from '../../contracts/driver.ts';
import { readingOf } from '../../contracts/workload/net-evidence.ts';
import { openCanary } from './canary.ts';
import { checkVerb } from './check.ts';
import type { FdbContext } from './client.ts';
import { fenceVerb } from './fence.ts';
import { metrics, observe } from './observe.ts';
import { componentOptions, type FdbOptions, type FdbSiteOptions, findFaults, siteOptions } from './options.ts';
import { promoteVerb, readEpoch } from './promote.ts';
import { runVerb } from './run.ts';
import { openFdbSite } from './site.ts';
import { awaitPositionVerb, followVerb, protectVerb, thawVerb } from './standby.ts';

function openSite(context: FdbContext): Site {
  const { hands } = context;
  const close = async () => {
    // Nothing is held open.
  };
  if (!hands) {
    const reading = readingOf({ kind: 'error', detail: 'the site has no hands to call fdbcli with' });
    return { observe: async () => reading, verbs: {}, close };
  }
  const site = openFdbSite(context, hands);
  const run = runVerb(site);
  return {
    observe: (signal) => observe(site, signal),
    verbs: {
      fence: fenceVerb(site),
      thaw: thawVerb(site),
      'await-position': awaitPositionVerb(site),
      promote: promoteVerb(site),
      follow: followVerb(site),
      protect: protectVerb(site),
      check: checkVerb(site),
      ...(run === undefined ? {} : { run }),
    },
    readEpoch: (signal) => readEpoch(site, signal),
    canary: openCanary(site),
    close,
  };
}

export const driver = defineDriver<FdbOptions, FdbSiteOptions>({
  name: 'foundationdb',
  title: 'FoundationDB',
  summary:
    'Watches a cluster over two regions, moves its active region by priorities, forces a lost one under proof, backs up and restores.',
  kind: 'data',
  verbs: [
    { verb: 'fence', needsHands: true, typicalMs: 10_000 },
    { verb: 'thaw', needsHands: true, typicalMs: 10_000 },
    { verb: 'await-position', needsHands: true, typicalMs: 1_000 },
    { verb: 'promote', needsHands: true, typicalMs: 15_000 },
    { verb: 'follow', needsHands: true, typicalMs: 3_600_000 },
    { verb: 'protect', needsHands: true, typicalMs: 60_000 },
    { verb: 'check', needsHands: true, typicalMs: 2_000 },
    { verb: 'run', needsHands: true, typicalMs: 600_000 },
  ],
  hasCanary: true,
  componentOptions,
  siteOptions,
  metrics,
  validate: findFaults,
  open: openSite,
});
