/** The specs in the READMEs of drivers: each loads as it stands there. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { driverCatalog } from '../../src/registry.generated.ts';
import { loadSpec } from '../../src/spec/load-spec.ts';
import { fakeRepositories } from '../fakes/driver-catalog.ts';
import { fakeHost } from '../fakes/host.ts';

const folder = join(import.meta.dirname, '..', '..', 'src', 'drivers');
const ofKubernetes = [...driverCatalog.keys()].filter((name) => name.startsWith('kubernetes-'));
const names = [...ofKubernetes, 'velero', 'argocd', 'route53', 's3-bucket', 'prometheus', 'grpc-health', 'ledger'];

function fragmentsOf(name: string): string[] {
  const readme = readFileSync(join(folder, name, 'README.md'), 'utf8');
  return [...readme.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text]) => text as string);
}

describe('specs in READMEs', () => {
  it('are of every one of these drivers', () => {
    expect(names).toContain('kubernetes-deployment');
    for (const name of names) expect(fragmentsOf(name), name).not.toEqual([]);
  });

  it.each(names.flatMap((name) => fragmentsOf(name).map((text) => [name, text] as const)))('of %s load', async (name, text) => {
    const indented = text.replace(/^(?=.)/gm, '  ');
    const named = [...new Set([...text.matchAll(/^ {4}([a-z]+-[a-z]+-\d):/gm)].map(([, region]) => region))];
    const regions = named.length > 1 ? named : [...named, 'us-west-2'];
    const others = /needs: \[api\]/.test(text)
      ? `  api:\n    driver: http-service\n    sites:\n${regions.map((region) => `      ${region}: { url: "http://10.0.0.1:8000" }`).join('\n')}\n`
      : '';
    const spec = `holdfast: v1\nname: shop\nregions:\n${regions.map((region, index) => `  ${region}: { role: ${index === 0 ? 'active' : 'standby'} }`).join('\n')}\ncomponents:\n${others}${indented}`;
    const loaded = await loadSpec(['shop.yaml'], {
      catalog: driverCatalog,
      repositories: fakeRepositories,
      host: fakeHost({ files: { 'shop.yaml': spec } }),
      resolveSecrets: false,
    });
    expect([...loaded.components.values()].map(({ driver }) => driver)).toContain(name);
  });
});
