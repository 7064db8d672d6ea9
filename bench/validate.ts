/**
 * How long it takes to load and check a large spec: `node bench/validate.ts [--components N] [--runs N] [--json]`.
 *
 * The spec is made in memory, so disks have no part in it. The first run is reported apart: it is what a user of `holdfast validate` waits for, with cold code.
 */
import { parseArgs } from 'node:util';
import { loadSpec } from '../src/spec/load-spec.ts';
import { fakeCatalog } from '../test/fakes/driver-catalog.ts';
import { fakeHost } from '../test/fakes/host.ts';

const { values } = parseArgs({
  options: {
    components: { type: 'string', default: '1000' },
    runs: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});

/** Chains of a store, a workload that needs it and a route to that: what a real platform is made of. */
function writeLargeSpec(count: number): string {
  const lines = [
    'holdfast: v1',
    'name: large',
    'regions:',
    '  us-east-1: { role: active }',
    '  us-west-2: { role: standby }',
    'components:',
  ];
  for (let index = 0; index < count; index += 1) {
    const name = `component-${index}`;
    const needs = index % 3 === 0 ? '' : `    needs: [component-${index - 1}]\n`;
    if (index % 3 === 0) {
      lines.push(`  ${name}:\n    driver: memory-store\n    replication: synchronous\n    sites:`);
      for (const region of ['us-east-1', 'us-west-2']) {
        lines.push(
          `      ${region}:\n        url: "store://${region}/${name}"\n        password: { env: PASSWORD }\n        hands: { ssh: { host: ${region}.example.com, as: store } }`,
        );
      }
    } else if (index % 3 === 1) {
      lines.push(
        `  ${name}:\n    driver: fake-workload\n${needs}    replicas: { full: 10, standby: 2 }\n    start: [run, ${name}]\n    ready: { by: share, share: 80% }`,
      );
      lines.push('    sites:\n      us-east-1: { port: 8080 }\n      us-west-2: { port: 8080 }');
    } else {
      lines.push(`  ${name}:\n    driver: fake-route\n${needs}    record: ${name}.example.com\n    ttl: 30s`);
      lines.push('    sites:\n      us-east-1: { address: 192.0.2.1 }\n      us-west-2: { address: 198.51.100.1 }');
    }
  }
  return `${lines.join('\n')}\n`;
}

const components = Number(values.components);
const text = writeLargeSpec(components);
const host = fakeHost({ env: { PASSWORD: 'x' }, files: { 'large.yaml': text } });
const times: number[] = [];
for (let run = 0; run < Number(values.runs); run += 1) {
  const startMs = performance.now();
  const spec = await loadSpec(['large.yaml'], { catalog: fakeCatalog, host });
  times.push(performance.now() - startMs);
  if (spec.components.size !== components) throw new Error(`loaded ${spec.components.size} of ${components} components`);
}
const [firstMs = Number.NaN] = times;
const medianMs = [...times].sort((left, right) => left - right)[Math.floor(times.length / 2)] ?? Number.NaN;
console.log(
  `${components} components, ${text.split('\n').length} lines, ${Math.round(text.length / 1024)} KiB: first ${firstMs.toFixed(0)} ms, median of ${times.length} ${medianMs.toFixed(0)} ms`,
);
if (values.json) console.log(JSON.stringify({ components, ms: Math.round(firstMs), medianMs: Math.round(medianMs) }));
