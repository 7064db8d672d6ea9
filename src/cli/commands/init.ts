/** init: writes a first spec, by asking or from flags. Never overwrites a file, and what it writes loads without faults (secrets aside) or is not written. */
import { fail } from '../../base/errors.ts';
import { faultsOf, formatFaults, loadSpec } from '../../spec/load-spec.ts';
import {
  componentQuestions,
  type FirstSpecFlags,
  firstSpecFromFlags,
  type Question,
  questions,
  writeFirstSpec,
} from '../../spec/write-first-spec.ts';
import { openHost } from '../session.ts';
import type { Wiring } from '../wiring.ts';
import type { CommandContext } from './context.ts';

const notAnswered = () =>
  fail('INTERRUPTED', {
    message: 'the questions were not answered to the end; nothing was written',
    hint: 'Run holdfast init again, or give the answers as flags.',
  });

async function askOne(wiring: Wiring, question: Question): Promise<string> {
  const { terminal } = wiring;
  for (;;) {
    const suffix = question.default === undefined || question.default === '' ? '' : ` [${question.default}]`;
    const given = await terminal.ask(`${question.prompt}${suffix}: `);
    if (given === undefined) throw notAnswered();
    const answer = given.trim() === '' ? (question.default ?? '') : given.trim();
    const fault = question.validate(answer);
    if (fault === undefined) return answer;
    terminal.err(`  ${fault}`);
  }
}

async function askAll(wiring: Wiring): Promise<FirstSpecFlags> {
  const answers = new Map<string, string>();
  for (const question of questions) answers.set(question.id, await askOne(wiring, question));
  const regions = [answers.get('active') ?? '', answers.get('standby') ?? ''];
  const component: string[] = [];
  const set: string[] = [];
  const drivers = [...wiring.catalog.keys()];
  for (;;) {
    const given = await wiring.terminal.ask(
      component.length === 0 ? 'Name of a component: ' : 'Name of another component (empty: no more): ',
    );
    if (given === undefined) throw notAnswered();
    const name = given.trim();
    if (name === '' && component.length > 0) break;
    if (name === '') continue;
    const driver = await askOne(wiring, {
      id: 'driver',
      prompt: `Driver of ${name} (${drivers.join(', ')})`,
      validate: (answer) => (wiring.catalog.has(answer) ? undefined : `There are: ${drivers.join(', ')}.`),
    });
    component.push(`${name}=${driver}`);
    const chosen = wiring.catalog.get(driver);
    if (!chosen) continue;
    for (const question of componentQuestions(name, chosen, regions)) set.push(`${question.id}=${await askOne(wiring, question)}`);
  }
  const text = (id: string) => answers.get(id) ?? '';
  return {
    name: text('name'),
    active: text('active'),
    standby: text('standby'),
    witness: text('witness'),
    rto: text('rto'),
    rpo: text('rpo'),
    automatic: text('automatic') === 'yes',
    component,
    set,
  };
}

export async function init(context: CommandContext, flags: FirstSpecFlags & { readonly output: string }): Promise<void> {
  const { wiring } = context;
  const host = openHost(context.options, wiring);
  if (await host.files.exists(flags.output))
    throw fail('USAGE', {
      subject: flags.output,
      message: `${flags.output} exists already`,
      hint: 'Give another name with --output; it is never overwritten.',
    });
  const fromFlags = (flags.component ?? []).length > 0;
  if (!fromFlags && !wiring.terminal.interactive)
    throw fail('USAGE', {
      message: 'nobody is there to answer questions',
      hint: 'Give --component NAME=DRIVER and --set COMPONENT.REGION.KEY=VALUE; see holdfast init --help.',
    });
  const text = writeFirstSpec(firstSpecFromFlags(fromFlags ? flags : await askAll(wiring), wiring.catalog));
  await host.files.writeAtomically(flags.output, text);
  try {
    await loadSpec([flags.output], { catalog: wiring.catalog, host, resolveSecrets: false });
  } catch (thrown) {
    // What the answers amount to is shown with its faults, and nothing that can't be loaded stays behind.
    if (!context.options.json) wiring.terminal.err(formatFaults(faultsOf(thrown), new Map([[flags.output, text]])));
    await host.files.remove(flags.output);
    throw thrown;
  }
  context.answer(`wrote ${flags.output}; next: holdfast validate --spec ${flags.output}, then holdfast check`, { written: flags.output });
}
