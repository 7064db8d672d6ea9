import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { renderTemplate } from './new-driver/render-template.ts';
import { readCommand, renderFiles, writeFiles } from './new-driver.ts';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-new-driver-'));
  mkdirSync(join(root, 'src', 'drivers', 'taken'), { recursive: true });
  mkdirSync(join(root, 'test', 'conformance'), { recursive: true });
  writeFileSync(join(root, 'test', 'conformance', 'tested.test.ts'), '');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

describe('the command', () => {
  it.each([
    ['driver tcp-banner', { name: 'tcp-banner', kind: 'check' }],
    ['driver queue --kind data', { name: 'queue', kind: 'data' }],
    ['driver --kind=route edge', { name: 'edge', kind: 'route' }],
    // What npm hands on of "npm run new driver queue --kind workload".
    ['driver queue workload', { name: 'queue', kind: 'workload' }],
  ])('%s is understood', (command, wanted) => {
    expect(readCommand(root, command.split(' '))).toEqual(wanted);
  });

  it.each([
    ['', 'a driver, and one name'],
    ['driver', 'a driver, and one name'],
    ['channel mail', 'a driver, and one name'],
    ['driver a check b', 'a driver, and one name'],
    ['driver a check --kind check', 'a driver, and one name'],
    ['driver a --force', "Unknown option '--force'"],
    ['driver a --kind queue', '"queue" is no kind of driver'],
    ['driver Queue', '"Queue" can not name a driver'],
    ['driver 2nd', 'can not name a driver'],
    ['driver a--b', 'can not name a driver'],
    ['driver ../../tmp/x', 'can not name a driver'],
    [`driver ${'a'.repeat(41)}`, 'can not name a driver'],
    ['driver queue-helper', 'can not name a driver'],
    ['driver taken', 'src/drivers/taken is there already'],
    ['driver tested', 'test/conformance/tested.test.ts is there already'],
  ])('"%s" is refused with a hint', (command, message) => {
    const refusal = readCommand(root, command === '' ? [] : command.split(' '));
    expect(refusal).toMatchObject({ message: expect.stringContaining(message), hint: expect.stringMatching(/\w{3}/) });
  });
});

describe('the files', () => {
  it.each(['data', 'workload', 'route', 'check'] as const)(
    'of kind %s have nothing of the templates left, and come into their places',
    (kind) => {
      const files = renderFiles({ name: 'message-queue', kind });
      expect([...files.values()].filter((text) => /\{\{|\/\/:/.test(text))).toEqual([]);
      expect(files.get('src/drivers/message-queue/driver.ts')).toContain(`kind: '${kind}'`);
      writeFiles(root, 'message-queue', files);
      const verb = { data: 'check.ts', check: 'check.ts', workload: 'scale.ts', route: 'route.ts' }[kind];
      const always = ['README.md', 'client.ts', 'driver.ts', 'fake.ts', 'observe.ts', 'options.ts', 'status.ts'];
      expect(readdirSync(join(root, 'src', 'drivers', 'message-queue')).sort()).toEqual([...always, verb].sort());
      expect(existsSync(join(root, 'test', 'conformance', 'message-queue.test.ts'))).toBe(true);
      expect(readdirSync(join(root, '.cache'))).toEqual([]);
    },
  );

  it('are not there by halves where one of them can not be written', () => {
    const files = renderFiles({ name: 'message-queue', kind: 'check' });
    rmSync(join(root, 'test'), { recursive: true });
    expect(() => writeFiles(root, 'message-queue', files)).toThrow('ENOENT');
    expect(readdirSync(join(root, 'src', 'drivers'))).toEqual(['taken']);
    expect(readdirSync(join(root, '.cache'))).toEqual([]);
  });
});

describe('templates', () => {
  const render = (template: string) => renderTemplate(template, { name: 'message-queue', kind: 'route' });

  it('have words, and lines for some kinds only', () => {
    expect(
      render(
        '{{name}} {{Name}} {{title}} {{kind}}\n//: if data route\na\n//: if data\nb\n//: end\nc\n//: end\n//: if check\nd\n//: end\ne',
      ),
    ).toBe('message-queue MessageQueue Message Queue route\na\nc\ne');
  });

  it('with an unknown word or an open condition are refused', () => {
    expect(() => render('{{nmae}}')).toThrow('unknown word nmae');
    expect(() => render('//: if route\na')).toThrow('not closed');
  });
});
