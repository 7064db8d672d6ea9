/** The data store suite on real PostgreSQL servers, oldest and newest supported, and on the simulated pair. */
import { describeSystem } from '../systems/requirement.ts';
import { describeDataStore } from './data-store.ts';
import { fakePostgresqlHarness } from './postgresql-fake-harness.ts';
import { postgresqlHarness } from './postgresql-harness.ts';

describeSystem('postgresql-15', () => describeDataStore(postgresqlHarness(15)));
describeSystem('postgresql-17', () => describeDataStore(postgresqlHarness(17)));
describeDataStore(fakePostgresqlHarness);
