/** The route suite on every route driver, each on its fake and on the real system. */
import { describeSystem } from '../systems/requirement.ts';
import { bindDns, fakeDns } from './dns-route-subjects.ts';
import { fakeHaproxy, realHaproxy } from './haproxy-route-subjects.ts';
import { describeRoute } from './route.ts';

describeRoute(fakeDns);
describeRoute(fakeHaproxy);
describeSystem('bind', () => describeRoute(bindDns));
describeSystem('haproxy', () => describeRoute(realHaproxy));
