/** Where a client of AWS finds its service, and as whom it asks: the same for each of the services. */
import type { Secret } from '../../base/secret.ts';

export interface ClientAccessSettings {
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
  readonly accessKeyId: Secret | undefined;
  readonly secretAccessKey: Secret | undefined;
  readonly sessionToken: Secret | undefined;
}

/** Options of a client. What is not set is left to the SDK, which looks in the environment and at the machine's role. */
export function clientAccess({ region, endpoint, accessKeyId, secretAccessKey, sessionToken }: ClientAccessSettings) {
  return {
    // Services of one's own have no regions, but signatures name one.
    ...(region === undefined ? (endpoint === undefined ? {} : { region: 'us-east-1' }) : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(accessKeyId === undefined || secretAccessKey === undefined
      ? {}
      : {
          credentials: {
            accessKeyId: accessKeyId.reveal(),
            secretAccessKey: secretAccessKey.reveal(),
            ...(sessionToken === undefined ? {} : { sessionToken: sessionToken.reveal() }),
          },
        }),
  };
}
