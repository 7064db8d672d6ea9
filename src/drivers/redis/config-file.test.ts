import { describe, expect, it } from 'vitest';
import { changeDirectives, readDirective } from './config-file.ts';
import { barrierIn, isBarred } from './process-control.ts';

const text = 'port 6379\n# replicaof 10.0.0.9 1\nslaveof 10.0.0.1 6379\nmin-slaves-to-write 2\nrequirepass "a \\"b"\n';

describe('the configuration file', () => {
  it('takes out a directive under its former name too, and leaves comments and the rest alone', () => {
    expect(changeDirectives(text, { replicaof: undefined })).toBe(
      'port 6379\n# replicaof 10.0.0.9 1\nmin-slaves-to-write 2\nrequirepass "a \\"b"\n',
    );
    expect(changeDirectives(text, { replicaof: '10.0.0.2 6380' })).toContain('\nreplicaof 10.0.0.2 6380\n');
  });

  it('quotes what Redis would misread', () => {
    expect(changeDirectives('', { masterauth: 'a "b\\ c' })).toBe('masterauth "a \\"b\\\\ c"\n');
  });

  it('reads the last value of several', () => {
    expect(readDirective('save 1\nsave 2\n', 'save')).toBe('2');
    expect(readDirective(text, 'min-replicas-to-write')).toBe('2');
    expect(readDirective(text, 'appendonly')).toBeUndefined();
  });

  it('is barred once, keeping the former setting', () => {
    const once = changeDirectives(text, barrierIn(text));
    expect(readDirective(once, 'min-replicas-to-write')).toBe('1200000002');
    expect(changeDirectives(once, barrierIn(once))).toBe(once);
    expect(isBarred(text)).toBe(false);
    expect(isBarred(once)).toBe(true);
  });

  it('does not count as barred where Redis does not count replicas at all', () => {
    expect(isBarred('min-replicas-to-write 1200000000\nmin-replicas-max-lag 0\n')).toBe(false);
    expect(isBarred(changeDirectives('min-replicas-max-lag 0\n', barrierIn('min-replicas-max-lag 0\n')))).toBe(true);
  });
});
