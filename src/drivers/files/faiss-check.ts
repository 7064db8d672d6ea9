/**
 * Asks FAISS itself about index files: a Python program of its own, with a limit on its memory, for a damaged file may make FAISS allocate without end. It is told paths on its
 * standard input and answers one line of JSON for each.
 *
 * The sample query is the same whenever it is asked: vectors drawn from a fixed seed. Its answer is ids only: distances may differ in their last digits between processors.
 */
import { HoldfastError } from '../../base/errors.ts';
import type { Json, JsonObject } from '../../base/json.ts';
import type { Host } from '../../host/host.ts';

export const pythonDefault = '/usr/bin/python3';
const memoryMaxBytes = 8 * 1_073_741_824;
const answersMaxBytes = 64 * 1_048_576;

const script = `
import json, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]), int(sys.argv[1])))
import faiss, numpy
faiss.omp_set_num_threads(1)
for line in sys.stdin:
    path = json.loads(line)
    try:
        index = faiss.read_index(path, faiss.IO_FLAG_READ_ONLY)
        queries = numpy.random.default_rng(20260101).random((3, index.d), dtype="float32")
        ids = index.search(queries, min(5, max(1, index.ntotal)))[1].tolist() if index.ntotal else []
        answer = {"ntotal": index.ntotal, "dimension": index.d, "ids": ids}
    except Exception as error:
        answer = {"error": str(error).strip().splitlines()[-1][:200] if str(error).strip() else type(error).__name__}
    print(json.dumps(answer), flush=True)
`;

export type FaissAnswer = { readonly ntotal: number; readonly dimension: number; readonly ids: Json } | { readonly error: string };

/** Undefined where this machine has no Python with faiss. In the order of the paths; one that FAISS died of is an error, and so are those after it. */
export async function askFaiss(
  host: Host,
  python: string | undefined,
  paths: readonly string[],
  timeoutMs: number,
  signal: AbortSignal,
): Promise<readonly FaissAnswer[] | undefined> {
  const program = python ?? pythonDefault;
  try {
    const probe = await host.processes.run({ program, args: ['-I', '-c', 'import faiss'], timeoutMs: 60_000, signal });
    if (probe.exitCode !== 0) return undefined;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === 'HANDS_NO_PROGRAM') return undefined;
    throw error;
  }
  const { stdout, exitCode } = await host.processes.run({
    program,
    args: ['-I', '-c', script, String(memoryMaxBytes)],
    stdin: paths.map((path) => `${JSON.stringify(path)}\n`).join(''),
    timeoutMs,
    maxOutputBytes: answersMaxBytes,
    signal,
  });
  const answers = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as FaissAnswer & JsonObject);
  return paths.map((_, at) => answers[at] ?? { error: `FAISS ended with code ${exitCode} before it answered` });
}
