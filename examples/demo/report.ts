/** What the demo leaves behind: the same facts as a page for people and as JSON. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StoryResult } from './story.ts';

function markdown(result: StoryResult): string {
  const start = result.timeline[0]?.atMs ?? 0;
  return [
    '# A region lost, and what it cost',
    '',
    result.held ? 'Everything held.' : `**Not everything held:** ${result.broken.join('; ')}.`,
    '',
    '| what | measured |',
    '| --- | --- |',
    `| time without an acknowledged order, seen by the customer | ${result.outageMs} ms |`,
    `| the same, by Holdfast's canaries | ${result.measuredOutageMs} ms |`,
    `| orders acknowledged | ${result.acknowledged} |`,
    `| of them lost in the failover | ${result.lost} |`,
    `| canaries lost | ${result.lossMeasuredByCanary} |`,
    `| failover, from decision to verified | ${result.failoverMs} ms |`,
    `| from promotion to traffic routed | ${result.promoteToRouteMs} ms |`,
    `| failback, from start to verified | ${result.failbackMs} ms |`,
    `| time without an acknowledged order in the failback | ${result.failbackOutageMs} ms |`,
    `| orders lost in the failback | ${result.failbackLost} |`,
    '',
    '## Timeline',
    '',
    ...result.timeline.map((entry) => `- \`${((entry.atMs - start) / 1_000).toFixed(3).padStart(8)} s\` ${entry.text}`),
    '',
  ].join('\n');
}

/** Writes both files; returns the path of the page. */
export async function writeReport(directory: string, result: StoryResult): Promise<string> {
  await mkdir(directory, { recursive: true });
  const stamp = new Date(result.timeline[0]?.atMs ?? Date.now()).toISOString().replace(/[:.]/g, '-');
  const page = join(directory, `demo-${stamp}.md`);
  await writeFile(page, markdown(result));
  await writeFile(page.replace(/\.md$/, '.json'), `${JSON.stringify(result, null, 2)}\n`);
  return page;
}
