/** A bucket in each region, and whether what is written into one reaches the other and could be opened there. Changes nothing. */
import { fail } from '../../base/errors.ts';
import { defineDriver, type SiteContext } from '../../contracts/driver.ts';
import type { Verb } from '../../contracts/verbs.ts';
import { Bucket } from './client.ts';
import { BucketObserver, type BucketParts, gauges, lookAtBucket } from './observe.ts';
import { type ComponentOptions, componentOptions, type SiteOptions, siteOptions, validateOptions } from './options.ts';

/** Looks anew each time, whatever a probe saw last: the step waits until nothing stands in the way. */
function checkVerb(parts: BucketParts): Verb {
  return {
    async inspect(_want, context) {
      const { health, evidence, faults = [] } = await lookAtBucket(parts, context.signal);
      const problems = faults.filter(({ severity }) => severity === 'problem').map(({ message }) => message);
      if (health !== 'up') return { state: 'pending', why: evidence.detail };
      return problems.length > 0 ? { state: 'pending', why: problems.join('; ') } : { state: 'done', output: { detail: evidence.detail } };
    },
    async apply() {
      throw fail('BUG_BROKEN_BELIEF', { message: 'check only looks: there is nothing to apply' });
    },
  };
}

function openBucket(context: SiteContext<ComponentOptions, SiteOptions>, region: string): Bucket {
  const site = context.sites.get(region) as SiteOptions;
  const access = { ...site, region: site.region ?? region, kmsEndpoint: context.options['kms-endpoint'] };
  return new Bucket(context.host, access, context.probeTimeoutMs);
}

export const driver = defineDriver<ComponentOptions, SiteOptions>({
  name: 's3-bucket',
  title: 'S3 bucket',
  summary:
    'Looks whether objects reach the bucket in the other region, and whether versions, lock, lifecycle and KMS keys are as they should be.',
  kind: 'check',
  verbs: [{ verb: 'check', needsHands: false, typicalMs: 2_000 }],
  hasCanary: false,
  componentOptions,
  siteOptions,
  validate: validateOptions,
  metrics: gauges,
  open(context) {
    const bucket = openBucket(context, context.region);
    const others = [...context.sites].filter(([region, site]) => region !== context.region && site.receives);
    const copies = others.map(([region]) => openBucket(context, region));
    const parts: BucketParts = { host: context.host, bucket, copies, options: context.options, site: context.site };
    const observer = new BucketObserver(parts);
    return {
      observe: (signal) => observer.observe(signal),
      verbs: { check: checkVerb(parts) },
      close: async () => {
        await Promise.all([bucket, ...copies].map((each) => each.close()));
      },
    };
  },
});
