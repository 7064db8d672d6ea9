/** A real gRPC server with the health service, which says what a test tells it to. */
import { Server, ServerCredentials, type ServerUnaryCall, type sendUnaryData, status } from '@grpc/grpc-js';

interface Question {
  readonly service: string;
}

interface Answer {
  readonly state: number | null;
}

export interface RunningGrpcHealth {
  readonly address: string;
  /** By the service's name; the server as a whole is ''. A number is sent as it is; null leaves the field out. */
  readonly states: Map<string, number | null>;
  /** What `authorization` must be. */
  token: string | undefined;
  /** Calls are taken and never answered. */
  hanging: boolean;
  stop(): Promise<void>;
}

export interface GrpcHealthOptions {
  readonly tls?: { readonly cert: string; readonly key: string };
  /** A server without the health service. */
  readonly without?: boolean;
  readonly port?: number;
}

export async function startGrpcHealth(options: GrpcHealthOptions = {}): Promise<RunningGrpcHealth> {
  const states = new Map<string, number | null>([['', 1]]);
  const server = new Server();
  const check = (call: ServerUnaryCall<Question, Answer>, answer: sendUnaryData<Answer>): void => {
    if (running.hanging) return;
    if (running.token !== undefined && call.metadata.get('authorization')[0] !== running.token) {
      answer({ code: status.UNAUTHENTICATED, details: 'who are you?' });
      return;
    }
    const state = states.get(call.request.service);
    if (state === undefined) answer({ code: status.NOT_FOUND, details: 'unknown service' });
    else answer(null, { state });
  };
  const definition = {
    path: '/grpc.health.v1.Health/Check',
    requestStream: false as const,
    responseStream: false as const,
    // One field of text, length before it; shorter than 128 bytes in these tests.
    requestDeserialize: (bytes: Buffer) => ({ service: bytes.subarray(2).toString() }),
    requestSerialize: ({ service }: Question) => Buffer.from(service),
    responseSerialize: ({ state }: Answer) => (state === null ? Buffer.alloc(0) : Buffer.from([0x08, state])),
    responseDeserialize: (bytes: Buffer) => ({ state: bytes[1] ?? null }),
  };
  if (options.without !== true) server.addService({ check: definition }, { check });
  const { tls } = options;
  const credentials =
    tls === undefined
      ? ServerCredentials.createInsecure()
      : ServerCredentials.createSsl(null, [{ cert_chain: Buffer.from(tls.cert), private_key: Buffer.from(tls.key) }]);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${options.port ?? 0}`, credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  const running: RunningGrpcHealth = {
    address: `127.0.0.1:${port}`,
    states,
    token: undefined,
    hanging: false,
    stop: async () => server.forceShutdown(),
  };
  return running;
}
