/** Server reflection, version 1 only, as the newer interface has it: enough for a client that learns the services and their messages from the server. */
import type { Server } from '@grpc/grpc-js';
import { fromJSON } from '@grpc/proto-loader';

const text = (id: number) => ({ type: 'string', id });
const description = {
  nested: {
    grpc: {
      nested: {
        reflection: {
          nested: {
            v1: {
              nested: {
                ServerReflectionRequest: {
                  fields: { host: text(1), file_by_filename: text(3), file_containing_symbol: text(4), list_services: text(7) },
                },
                FileDescriptorResponse: { fields: { file_descriptor_proto: { rule: 'repeated', type: 'bytes', id: 1 } } },
                ServiceResponse: { fields: { name: text(1) } },
                ListServiceResponse: { fields: { service: { rule: 'repeated', type: 'ServiceResponse', id: 1 } } },
                ErrorResponse: { fields: { error_code: { type: 'int32', id: 1 }, error_message: text(2) } },
                ServerReflectionResponse: {
                  fields: {
                    valid_host: text(1),
                    original_request: { type: 'ServerReflectionRequest', id: 2 },
                    file_descriptor_response: { type: 'FileDescriptorResponse', id: 4 },
                    list_services_response: { type: 'ListServiceResponse', id: 6 },
                    error_response: { type: 'ErrorResponse', id: 7 },
                  },
                },
                ServerReflection: {
                  methods: {
                    ServerReflectionInfo: {
                      requestType: 'ServerReflectionRequest',
                      requestStream: true,
                      responseType: 'ServerReflectionResponse',
                      responseStream: true,
                    },
                  },
                },
              },
            },
          },
        },
      },
    },
  },
};

interface Question {
  readonly file_by_filename?: string;
  readonly file_containing_symbol?: string;
  readonly list_services?: string;
}

export function addReflection(server: Server, files: readonly Buffer[], services: readonly string[]): void {
  const { 'grpc.reflection.v1.ServerReflection': service } = fromJSON(description as unknown as Parameters<typeof fromJSON>[0], {
    keepCase: true,
  });
  const answer = (question: Question): object => {
    if (question.list_services) return { list_services_response: { service: services.map((name) => ({ name })) } };
    const symbol = question.file_containing_symbol;
    if (symbol?.startsWith('ledger.v1.') || question.file_by_filename)
      return { file_descriptor_response: { file_descriptor_proto: files } };
    return { error_response: { error_code: 5, error_message: `${symbol} not found` } };
  };
  server.addService(
    service as never,
    {
      ServerReflectionInfo: (stream: {
        on(event: string, listener: (question: Question) => void): void;
        write(said: object): void;
        end(): void;
      }) => {
        stream.on('data', (question) => stream.write({ original_request: question, ...answer(question) }));
        stream.on('end', () => stream.end());
      },
    } as never,
  );
}
