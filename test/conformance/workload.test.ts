/** The workload suite on the HTTP service and process drivers, each on its fake and on the real thing. */
import { join } from 'node:path';
import { fail } from '../../src/base/errors.ts';
import { driver as httpService } from '../../src/drivers/http-service/driver.ts';
import { FakeHttpService } from '../../src/drivers/http-service/fake.ts';
import { driver as processes } from '../../src/drivers/process/driver.ts';
import { FakeProcessHost } from '../../src/drivers/process/fake.ts';
import type { Host } from '../../src/host/host.ts';
import { nodeHost } from '../../src/host/node/node-host.ts';
import { httpServiceCommand, listensOn, setMood, startHttpService, waitFor } from '../systems/http-service.ts';
import { plainHands } from '../systems/plain-hands.ts';
import { freePort, releasePort } from '../systems/ports.ts';
import { processesOf, signalEach } from '../systems/process-tree.ts';
import { removeDirectory, temporaryDirectory } from '../systems/temporary-directory.ts';
import { openDriverSite } from './open-site.ts';
import { describeWorkload, type WorkloadHarness, type WorkloadSubject } from './workload.ts';

const realHost = nodeHost({ logTo: 'silent' });
const health = {
  path: '/health/detailed',
  json: { status: 'healthy', 'components.*.status': 'healthy' },
  'content-type': 'application/json',
};
const smoke = [
  { path: '/health/detailed', expect: { json: { 'components.*.status': 'healthy' } } },
  { path: '/nowhere', expect: { status: 404 } },
];

function withNet(net: Partial<Host['net']>): Host {
  return { ...realHost, net: { ...realHost.net, ...net } };
}

const fakeHttpService: WorkloadHarness = {
  name: 'http-service, simulated',
  overHttp: true,
  async start() {
    const fake = new FakeHttpService(realHost.clock, 0);
    const host = withNet({ http: fake.http });
    const options = {
      health,
      smoke,
      'full-replicas': 3,
      'standby-replicas': 1,
      'scale-command': ['scale', '{replicas}', '{size}'],
      'count-command': ['count'],
    };
    return {
      host,
      full: 3,
      counts: true,
      barsOlderEpochs: false,
      openSite: ({ hands = true, probeTimeoutMs } = {}) =>
        openDriverSite(httpService, {
          host,
          options,
          site: { url: 'http://service.test:8000' },
          hands: hands ? fake : undefined,
          probeTimeoutMs,
        }),
      become: async (mood) => {
        fake.mood = mood;
      },
      running: async () => fake.replicas,
      kill: async () => {
        fake.replicas = 0;
      },
      dispose: async () => {},
    };
  },
};

/** Once with a command that counts the replicas, once without: then the step's notes must do. */
function realHttpService(counting: boolean): WorkloadHarness {
  return {
    name: `http-service, real, ${counting ? 'with' : 'without'} a count command`,
    overHttp: true,
    async start() {
      const service = await startHttpService({ replicas: 0 });
      const options = {
        health,
        smoke,
        'full-replicas': 3,
        'standby-replicas': 1,
        'scale-command': [service.scaleProgram, '{replicas}', '{size}'],
        ...(counting ? { 'count-command': [service.countProgram] } : {}),
      };
      return {
        host: realHost,
        full: 3,
        counts: counting,
        barsOlderEpochs: false,
        openSite: ({ hands = true, probeTimeoutMs } = {}) =>
          openDriverSite(httpService, {
            host: realHost,
            options,
            site: { url: service.url },
            hands: hands ? plainHands(realHost) : undefined,
            probeTimeoutMs,
          }),
        become: service.become,
        running: service.replicas,
        kill: () => service.setReplicas(0),
        dispose: () => service.stop(),
      };
    },
  };
}

const fakeProcess: WorkloadHarness = {
  name: 'process, simulated',
  overHttp: false,
  async start() {
    const fake = new FakeProcessHost();
    const connectTcp: Host['net']['connectTcp'] = async () => {
      if (fake.running().length === 0) throw fail('SYSTEM_UNREACHABLE', { message: 'connection refused', details: { cause: 'refused' } });
      return { write: () => {}, onData: () => {}, onClose: () => {}, close: () => {} };
    };
    const host = withNet({ connectTcp });
    const options = {
      processes: { web: { program: ['web'], 'pid-file': '/run/web.pid' }, worker: { program: ['worker'], 'pid-file': '/run/worker.pid' } },
    };
    return {
      host,
      full: 2,
      counts: true,
      barsOlderEpochs: true,
      openSite: ({ hands = true, probeTimeoutMs } = {}) =>
        openDriverSite(processes, { host, options, site: { tcp: 'service.test:8000' }, hands: hands ? fake : undefined, probeTimeoutMs }),
      running: async () => fake.running().length,
      kill: async () => {
        for (const pidFile of fake.running()) fake.kill(pidFile);
      },
      dispose: async () => {},
    };
  },
};

/** A web server that is looked at over HTTP and a worker that only runs. `own`: started by Holdfast; otherwise by commands as a user has them. */
function realProcess(own: boolean): WorkloadHarness {
  return {
    name: `process, real, ${own ? 'with pid files of its own' : 'with the commands of the user'}`,
    overHttp: true,
    async start() {
      const dir = await temporaryDirectory('process');
      const port = await freePort();
      const web = httpServiceCommand(port, dir);
      const pidFile = join(dir, 'web.pid');
      const daemon = ['--pidfile', pidFile, '--exec', process.execPath] as const;
      const definition = own
        ? { program: web, 'pid-file': pidFile, directory: dir, 'stop-grace': '2s' }
        : {
            start: [
              'start-stop-daemon',
              '--start',
              '--oknodo',
              '--background',
              '--make-pidfile',
              ...daemon,
              '--chdir',
              dir,
              '--',
              ...web.slice(1),
            ],
            stop: ['start-stop-daemon', '--stop', '--oknodo', '--remove-pidfile', ...daemon, '--retry', '2'],
            status: ['start-stop-daemon', '--status', ...daemon],
          };
      const options = { health, smoke, standby: 'stopped', processes: { web: definition } };
      const members = () => processesOf([], [dir]);
      const subject: WorkloadSubject = {
        host: realHost,
        full: 1,
        counts: true,
        barsOlderEpochs: own,
        openSite: ({ hands = true, probeTimeoutMs } = {}) =>
          openDriverSite(processes, {
            host: realHost,
            options,
            site: { url: `http://127.0.0.1:${port}` },
            hands: hands ? plainHands(realHost) : undefined,
            probeTimeoutMs,
          }),
        become: (mood) => setMood(dir, mood),
        running: async () => members().length,
        kill: async () => {
          signalEach(members(), 'SIGKILL');
          await waitFor(async () => members().length === 0 && !(await listensOn(port)), 'the process to be gone');
        },
        dispose: async () => {
          for (; members().length > 0; await realHost.clock.sleep(10)) signalEach(members(), 'SIGKILL');
          await removeDirectory(dir);
          releasePort(port);
        },
      };
      return subject;
    },
  };
}

describeWorkload(fakeHttpService);
describeWorkload(realHttpService(true));
describeWorkload(realHttpService(false));
describeWorkload(fakeProcess);
describeWorkload(realProcess(true));
describeWorkload(realProcess(false));
