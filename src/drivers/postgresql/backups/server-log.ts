/** The lines of a server's log that say why it does not run; where none does, its last ones. */
export function lastWords(log: string): string {
  const lines = log.split('\n').filter((line) => /FATAL|PANIC|ERROR|could not/.test(line));
  return (lines.length > 0 ? lines : log.trim().split('\n')).slice(-4).join(' · ').slice(-1_500);
}
