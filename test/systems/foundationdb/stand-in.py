#!/usr/bin/python3 -SE
"""Plays fdbcli, fdbbackup and fdbrestore, by the name it is called under, over one file of state for each simulated cluster.

What the real programs refuse is refused here: unknown options, a forced recovery that names no data centre, changes of regions that would leave no copy, a second start of a
backup, a restore from a directory that holds no backup. Rules and fields: https://apple.github.io/foundationdb/ (configuration, backups, mr-status, command-line interface).
"""
import fcntl, json, os, re, shlex, sys, time

HOME = os.path.dirname(os.path.abspath(sys.argv[0]))
SERVING = 'all_logs_recruited', 'fully_recovered'


def die(text, code=1):
    print(text, file=sys.stderr if code == 1 else sys.stdout)
    sys.exit(code)


class Cluster:
    """One simulated cluster, locked while the program runs."""

    def __init__(self, cluster_file):
        try:
            lines = open(cluster_file).read().splitlines()
        except OSError as error:
            die(f'ERROR: {error.strerror} ({cluster_file})')
        self.connection = next((line for line in lines if line and not line.startswith('#')), '')
        seen = [line for line in lines if line.startswith('# at ')]
        self.place = seen[0][5:].strip() if seen else 'nowhere'
        if not re.fullmatch(r'\w+:\w+@[\d.:,]+', self.connection):
            die('ERROR: Connection string invalid')
        self.path = os.path.join(HOME, 'clusters', re.split('@', self.connection)[0].replace(':', '-') + '.json')
        self.lock = open(self.path + '.lock', 'w')
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.state = json.load(open(self.path))
        self.settle()

    def save(self):
        with open(self.path + '.new', 'w') as out:
            json.dump(self.state, out)
        os.rename(self.path + '.new', self.path)

    # Who is there
    def up(self, dc):
        return dc in self.state['dcs'] and self.state['dcs'][dc]['up']

    def reachable(self, dc):
        return self.up(dc) and [self.place, dc] not in self.state['cuts']

    def quorum(self, sees=None):
        sees = sees or self.reachable
        found = [sees(each['dc']) for each in self.state['coordinators']]
        return sum(found) * 2 > len(found)

    def region_of(self, dc):
        return next((r for r in self.state['regions'] if self.main(r)['id'] == dc), None)

    @staticmethod
    def main(region):
        return next(d for d in region['datacenters'] if not d.get('satellite'))

    def priority(self, dc):
        region = self.region_of(dc)
        return -1 if region is None else self.main(region)['priority']

    def satellites_up(self, dc):
        region = self.region_of(dc) or {'datacenters': []}
        found = [d['id'] for d in region['datacenters'] if d.get('satellite')]
        return bool(found) and 'satellite_redundancy_mode' in region and any(self.up(d) for d in found)

    def other(self, dc):
        return next((self.main(r)['id'] for r in self.state['regions'] if self.main(r)['id'] != dc), None)

    def settle(self):
        """What the cluster does by itself: recovers, fails over where nothing is lost, moves to the region that is preferred, copies."""
        state = self.state
        active, other = state['active'], self.other(state['active'])
        state['copied'] = {dc: n for dc, n in state['copied'].items() if dc in state['dcs']}
        if other and state['usable_regions'] == 2 and self.up(active) and self.up(other) and state['copied'].get(other, 0) < state['copy_looks']:
            state['copied'][other] = state['copied'].get(other, 0) + 1
        if not self.quorum(self.up):
            state['available'] = False
            return
        if not self.up(active):
            safe = other and self.up(other) and state['usable_regions'] == 2 and self.full(other) and self.satellites_up(active)
            if safe and self.priority(other) >= 0:
                self.recover(other)
            else:
                state['available'] = False
        else:
            state['available'] = True
            wants = other and self.priority(other) > self.priority(active)
            if wants and self.priority(other) >= 0 and self.up(other) and self.full(other) and state['usable_regions'] == 2 and not state['stuck']:
                self.recover(other)

    def full(self, dc):
        return self.state['copied'].get(dc, 0) >= self.state['copy_looks']

    def recover(self, dc):
        self.state.update(active=dc, available=True, generation=self.state['generation'] + 2, lag_versions=0)

    def needs_database(self, seconds):
        if self.quorum() and self.state['available'] and not self.state['deaf']:
            return
        time.sleep(min(seconds, self.state['patience']))
        die('Specified timeout reached -- exiting...')

    # status json
    def status(self):
        state, quorum = self.state, self.quorum()
        coordinators = [{'address': c['address'], 'reachable': self.reachable(c['dc']), 'protocol': '0fdb00b073000000'} for c in state['coordinators']]
        available = quorum and state['available']
        client = {
            'cluster_file': {'path': 'fdb.cluster', 'up_to_date': True},
            'coordinators': {'coordinators': coordinators, 'quorum_reachable': quorum},
            'database_status': {'available': available, 'healthy': available and state['healthy']},
            'messages': [] if quorum else [{'name': 'quorum_not_reachable', 'description': 'Unable to reach a quorum of coordinators.'}],
            'timestamp': int(time.time()),
        }
        if not quorum:
            return {'client': client, 'cluster': {'layers': {'_valid': False}}}
        return {'client': client, 'cluster': {**self.cluster_part(available), **state['overrides']}}

    def cluster_part(self, available):
        state = self.state
        other = self.other(state['active'])
        replicated = state['usable_regions'] == 1 or (other is not None and self.up(other) and self.full(other))
        dead = [dc for dc in (state['active'], other) if dc and not self.up(dc)]
        name = 'fully_recovered' if not dead or state['usable_regions'] == 1 else 'all_logs_recruited'
        processes = {}
        for n, (dc, place) in enumerate(sorted(state['dcs'].items())):
            for i in range(place['processes'] if place['up'] else 0):
                behind = 0 if dc == state['active'] else state['lag_versions']
                processes[f'{n:02d}{i:02d}{"0" * 28}'] = {
                    'address': f'127.0.{n}.{i + 1}:4500', 'class_type': 'storage', 'excluded': False,
                    'locality': {'dcid': dc, 'processid': f'{dc}-{i}', 'zoneid': f'{dc}-z{i}'},
                    'roles': [{'role': 'storage', 'data_version': state['version'] - behind, 'durable_version': state['version'] - behind}],
                }
        tags = {t: {'running_backup': b['running'], 'running_backup_is_restorable': b['running'], 'current_status': 'is differential',
                    'last_restorable_version': b['log_end'], 'last_restorable_seconds_behind': (state['version'] - b['log_end']) / 1e6}
                for t, b in state['backups'].items()}
        part = {
            'active_primary_dc': state['active'], 'cluster_controller_timestamp': int(time.time()), 'connection_string': self.connection,
            'configuration': {'coordinators_count': len(state['coordinators']), 'redundancy_mode': 'triple', 'regions': state['regions'],
                              'usable_regions': state['usable_regions'], 'excluded_servers': []},
            'data': {'state': {'name': 'healthy' if replicated else 'healing', 'healthy': replicated, 'min_replicas_remaining': 3}},
            'database_available': available, 'database_lock_state': {'locked': bool(state['lock']), **({'lock_uid': state['lock']} if state['lock'] else {})},
            'datacenter_lag': {'seconds': state['lag_versions'] / 1e6, 'versions': state['lag_versions']},
            'fault_tolerance': {'max_zone_failures_without_losing_availability': 2 if available else -1, 'max_zone_failures_without_losing_data': 2},
            'full_replication': replicated, 'generation': state['generation'], 'layers': {'_valid': True, 'backup': {'tags': tags}},
            'messages': [{'name': 'primary_dc_missing', 'description': 'Unable to determine primary datacenter.'}] if not available else [],
            'processes': processes, 'recovery_state': {'name': name if available else 'recruiting_transaction_servers', 'description': ''},
        }
        if not available:
            for key in ('full_replication', 'data', 'datacenter_lag'):
                del part[key]
        return part

    # Changes of data
    def commit(self, changes):
        state = self.state
        if state['lock']:
            die('ERROR: Database is locked (1038)')
        state['version'] += 1_000_000
        for key, value in changes:
            state['history'].append([state['version'], key, value])
            apply_change(state['keys'], key, value)
            for backup in state['backups'].values():
                if backup['running']:
                    append_log(backup['container'], state['version'], key, value)
                    backup['log_end'] = state['version']
        print(f'Committed ({state["version"]})')


def apply_change(keys, key, value):
    if value is None:
        keys.pop(key, None)
    elif isinstance(value, dict):
        for each in [k for k in keys if key <= k < value['until']]:
            del keys[each]
    else:
        keys[key] = value


def unescape(text):
    return re.sub(r'\\x([0-9a-fA-F]{2})|\\(.)', lambda m: chr(int(m[1], 16)) if m[1] else m[2], text)


def escape(text):
    return ''.join(c if 32 <= ord(c) < 127 and c != '\\' else '\\\\' if c == '\\' else f'\\x{ord(c):02x}' for c in text)


# fdbcli
def split_commands(text):
    """Words of each command; a semicolon ends one, quotes keep spaces, a backslash is the command's own."""
    commands, words, word, quoted, begun = [], [], '', False, False
    at = 0
    while at < len(text):
        c = text[at]
        if c == '\\' and at + 1 < len(text):
            word, begun, at = word + text[at:at + 2], True, at + 1
        elif c == '"':
            quoted, begun = not quoted, True
        elif c in ' ;' and not quoted:
            if begun:
                words.append(word)
            word, begun = '', False
            if c == ';' and words:
                commands.append(words)
                words = []
        else:
            word, begun = word + c, True
        at += 1
    if quoted:
        die('ERROR: unbalanced quotes')
    if begun:
        words.append(word)
    return commands + ([words] if words else [])


def check_regions(cluster, wanted):
    """What fdbcli refuses unless told FORCE."""
    state = cluster.state
    if len(wanted) > 2:
        die('ERROR: Only two regions are supported')
    for region in wanted:
        mains = [d for d in region.get('datacenters', []) if not d.get('satellite')]
        if len(mains) != 1 or not all(isinstance(d.get('id'), str) and isinstance(d.get('priority'), int) for d in region['datacenters']):
            die('ERROR: These changes would make the configuration invalid')
        dc = mains[0]['id']
        if dc not in state['dcs']:
            die('ERROR: The specified configuration would put storage servers in unknown datacenters')
        if mains[0]['priority'] >= 0 and state['usable_regions'] == 2 and not (cluster.up(dc) and (dc == state['active'] or cluster.full(dc))):
            die('ERROR: When usable_regions > 1, all regions with priority >= 0 must be fully replicated before changing the configuration.')
        if mains[0]['priority'] >= 0 and state['usable_regions'] == 1 and dc != state['active'] and cluster.up(state['active']):
            die('ERROR: When usable_regions=1, all regions with priority >= 0 must be fully replicated before changing the configuration.')
    if not any(r['datacenters'][0]['priority'] >= 0 for r in wanted):
        die('ERROR: At least one region must have priority >= 0')


def fileconfigure(cluster, words):
    if len(words) != 2:
        die('Usage: fileconfigure [new] <FILENAME>')
    try:
        wanted = json.load(open(words[1]))
    except (OSError, ValueError):
        die('ERROR: Invalid JSON')
    unknown = set(wanted) - {'regions', 'usable_regions'}
    if unknown:
        die(f'ERROR: Unknown configuration parameter {sorted(unknown)[0]}')
    if set(wanted) == {'regions', 'usable_regions'}:
        die('ERROR: Cannot change usable_regions and regions at the same time')
    if 'regions' in wanted:
        check_regions(cluster, wanted['regions'])
        cluster.state['regions'] = wanted['regions']
    cluster.settle()
    print('Configuration changed.')


def configure(cluster, words):
    found = [re.fullmatch(r'usable_regions=([12])', w) for w in words[1:]]
    if len(found) != 1 or not found[0]:
        die('Usage: configure [new] <single|double|triple|...> or <parameter>=<value>')
    state, wanted = cluster.state, int(found[0][1])
    if wanted != state['usable_regions']:
        if sum(cluster.main(r)['priority'] >= 0 for r in state['regions']) != 1:
            die('ERROR: To change usable_regions, only one region can have priority >= 0')
        if wanted == 2:
            state['copied'] = {state['active']: state['copy_looks']}
        state['usable_regions'] = wanted
    print('Configuration changed')


def force(cluster, words, seconds):
    state = cluster.state
    if len(words) != 2:
        die('Usage: force_recovery_with_data_loss <DCID>')
    if not cluster.quorum():
        cluster.needs_database(seconds)
    if state['available']:
        return  # It can commit: nothing is done, and no word of it.
    dc = words[1]
    if not cluster.up(dc) or not cluster.full(dc):
        cluster.needs_database(seconds)
    kept = state['version'] - state['lag_versions']
    state['history'] = [each for each in state['history'] if each[0] <= kept]
    state['keys'] = {}
    for _, key, value in state['history']:
        apply_change(state['keys'], key, value)
    cluster.recover(dc)
    if state['force_settles']:
        state['usable_regions'] = 1
        for region in state['regions']:
            if cluster.main(region)['id'] != dc:
                cluster.main(region)['priority'] = -1


def run_command(cluster, words, mode, seconds):
    name, state = words[0], cluster.state
    if name == 'status':
        if words[1:] == ['json']:
            if state['deaf']:
                cluster.needs_database(seconds)
            print(state['says'] if state['says'] is not None else json.dumps(cluster.status()))
        elif words[1:] in ([], ['minimal'], ['details']):
            print('Replication health - Healthy')
        else:
            die('Usage: status [minimal|details|json]')
        return
    if name == 'force_recovery_with_data_loss':
        return force(cluster, words, seconds)
    if name == 'writemode':
        if words[1:] not in (['on'], ['off']):
            die('Usage: writemode <on|off>')
        mode['write'] = words[1] == 'on'
        return
    known = {'set': (3, 3), 'get': (2, 2), 'clear': (2, 2), 'clearrange': (3, 3), 'getrange': (2, 4), 'getversion': (1, 1), 'begin': (1, 1), 'reset': (1, 1),
             'fileconfigure': (1, 9), 'configure': (1, 9), 'lock': (1, 1), 'unlock': (2, 2)}
    if name not in known:
        die(f'ERROR: Unknown command `{name}\'. Try `help\'?')
    least, most = known[name]
    if not least <= len(words) <= most:
        die(f'Usage: {name}')
    cluster.needs_database(seconds)
    run_on_database(cluster, name, words, mode)


def run_on_database(cluster, name, words, mode):
    state = cluster.state
    if name in ('set', 'clear', 'clearrange'):
        if not mode['write']:
            die('ERROR: writemode must be enabled to set or clear keys in the database.')
        value = unescape(words[2]) if name == 'set' else None if name == 'clear' else {'until': unescape(words[2])}
        cluster.commit([[unescape(words[1]), value]])
    elif state['lock'] and name in ('get', 'getrange', 'getversion'):
        die('ERROR: Database is locked (1038)')
    elif name == 'get':
        key = unescape(words[1])
        found = state['keys'].get(key)
        print(f"`{escape(key)}': not found" if found is None else f"`{escape(key)}' is `{escape(found)}'")
    elif name == 'getrange':
        begin, end = unescape(words[1]), unescape(words[2]) if len(words) > 2 else '\xff'
        limit = int(words[3]) if len(words) > 3 else 25
        print(f'\nRange limited to {limit} keys')
        for key in sorted(k for k in state['keys'] if begin <= k < end)[:limit]:
            print(f"`{escape(key)}' is `{escape(state['keys'][key])}'")
        print()
    elif name == 'getversion':
        print(state['version'])
    elif name == 'fileconfigure':
        fileconfigure(cluster, words)
    elif name == 'configure':
        configure(cluster, words)
    elif name == 'lock':
        if state['lock']:
            die('ERROR: Database is locked (1038)')
        state['lock'] = os.urandom(16).hex()
        print(f'Locked (with UID {state["lock"]})')
    elif name == 'unlock':
        die('ERROR: the passphrase has to be typed at a terminal')


def parse_flags(args, with_value, alone):
    found, at = {}, 0
    while at < len(args):
        if args[at] in with_value and at + 1 < len(args):
            found[with_value[args[at]]], at = args[at + 1], at + 1
        elif args[at] in alone:
            found[alone[args[at]]] = True
        else:
            die(f'{os.path.basename(sys.argv[0])}: unrecognized option {args[at]}')
        at += 1
    return found


def fdbcli(args):
    flags = parse_flags(args, {'-C': 'file', '--exec': 'exec', '--timeout': 'timeout'}, {'--no-status': 'quiet'})
    cluster = Cluster(flags.get('file', '/etc/foundationdb/fdb.cluster'))
    mode = {'write': False}
    try:
        for words in split_commands(flags.get('exec', '')):
            cluster.state['ran'].append(words)
            run_command(cluster, words, mode, float(flags.get('timeout', 1e9)))
    finally:
        cluster.save()


# Containers of backups: a directory each, under the one that was asked for
def container_of(url, made=False):
    match = re.fullmatch(r'file://(/.+?)/?', url)
    if not match:
        die(f'ERROR: Invalid backup container URL {url}')
    path = match[1]
    if not os.path.isfile(os.path.join(path, 'log.json')) and not made:
        die(f'ERROR: Backup URL does not exist: {url}')
    return path


def read_log(path):
    return json.load(open(os.path.join(path, 'log.json')))


def append_log(path, version, key, value):
    log = read_log(path)
    log['mutations'].append([version, key, value])
    log['end'] = version
    json.dump(log, open(os.path.join(path, 'log.json'), 'w'))


def fdbbackup(args):
    if not args or args[0] not in ('start', 'status', 'describe', 'discontinue'):
        die('fdbbackup: unrecognized command')
    verb = args[0]
    with_value = {'start': {'-C': 'file', '-t': 'tag', '-d': 'url', '-s': 'interval', '--blob-credentials': 'credentials'},
                  'status': {'-C': 'file', '-t': 'tag'}, 'describe': {'-C': 'file', '-d': 'url', '--blob-credentials': 'credentials'},
                  'discontinue': {'-C': 'file', '-t': 'tag'}}[verb]
    alone = {'start': {'-z': 'continuous', '-w': 'wait'}, 'status': {'--json': 'json'}, 'describe': {'--json': 'json'}, 'discontinue': {}}[verb]
    flags = parse_flags(args[1:], with_value, alone)
    if verb == 'describe':
        return describe(flags)
    cluster = Cluster(flags.get('file', '/etc/foundationdb/fdb.cluster'))
    cluster.state['ran'].append(['fdbbackup', *args])
    try:
        cluster.needs_database(5)
        tag, backups = flags.get('tag', 'default'), cluster.state['backups']
        if verb == 'start':
            start_backup(cluster, tag, flags)
        elif verb == 'discontinue':
            if tag not in backups:
                die('ERROR: No backup is running on tag')
            backups[tag]['running'] = False
        else:
            print(json.dumps(backup_status(cluster, tag, backups.get(tag))) if flags.get('json') else 'The backup on tag is restorable')
    finally:
        cluster.save()


def start_backup(cluster, tag, flags):
    state = cluster.state
    if 'url' not in flags:
        die('ERROR: No backup container is given')
    if state['backups'].get(tag, {}).get('running'):
        die(f'ERROR: A backup is already running on tag `{tag}\'')
    path = container_of(flags['url'], made=True)
    path = os.path.join(path, time.strftime('backup-%Y-%m-%d-%H-%M-%S.000000', time.gmtime()))
    os.makedirs(path, exist_ok=True)
    state['version'] += 1_000_000
    log = {'begin': state['version'], 'end': state['version'], 'snapshot': state['keys'], 'mutations': []}
    json.dump(log, open(os.path.join(path, 'log.json'), 'w'))
    state['backups'][tag] = {'running': True, 'container': path, 'continuous': bool(flags.get('continuous')), 'log_end': state['version']}
    print(f'The backup on tag `{tag}\' was successfully submitted.')


def backup_status(cluster, tag, backup):
    if backup is None:
        return {'SchemaVersion': '1.0.0', 'Tag': tag, 'Status': {'Name': 'NeverRan', 'Running': False, 'Completed': False}, 'Restorable': False, 'BackupAgentsPaused': False}
    running = backup['running']
    return {
        'SchemaVersion': '1.0.0', 'Tag': tag, 'UID': '0' * 32, 'Restorable': True, 'BackupAgentsPaused': False, 'StopAfterSnapshot': not backup['continuous'],
        'Status': {'Name': 'RunningDifferentially' if running else 'Completed', 'Running': running, 'Completed': not running},
        'DestinationURL': f'file://{backup["container"]}/',
        'LatestRestorablePoint': {'Version': backup['log_end'], 'LagSeconds': (cluster.state['version'] - backup['log_end']) / 1e6},
    }


def describe(flags):
    log = read_log(container_of(flags.get('url', '')))
    point = {'Version': log['end']}
    print(json.dumps({'SchemaVersion': '1.0.0', 'URL': flags['url'], 'Restorable': True, 'MinRestorablePoint': {'Version': log['begin']},
                      'MaxRestorablePoint': point, 'Snapshots': [{'Restorable': True, 'TotalBytes': 1}]}) if flags.get('json') else 'Restorable: true')


def fdbrestore(args):
    if not args or args[0] not in ('start', 'status', 'abort', 'wait'):
        die('fdbrestore: unrecognized command')
    flags = parse_flags(args[1:], {'--dest-cluster-file': 'file', '-r': 'url', '-v': 'version', '-t': 'tag', '--blob-credentials': 'credentials'}, {'-w': 'wait'})
    if 'file' not in flags:
        die('ERROR: --dest-cluster-file is required')
    cluster = Cluster(flags['file'])
    cluster.state['ran'].append(['fdbrestore', *args])
    try:
        cluster.needs_database(5)
        if args[0] == 'start':
            if 'url' not in flags:
                die('ERROR: No backup container is given')
            log = read_log(container_of(flags['url']))
            version = int(flags.get('version', log['end']))
            if not log['begin'] <= version <= log['end']:
                die(f'ERROR: Backup is not restorable to version {version}')
            # It writes over what is there and clears nothing beside it.
            cluster.state['keys'].update(log['snapshot'])
            for at, key, value in log['mutations']:
                if at <= version:
                    apply_change(cluster.state['keys'], key, value)
            cluster.state['history'] = [[0, k, v] for k, v in cluster.state['keys'].items()]
            print(f'Restored to version {version}')
    finally:
        cluster.save()


{'fdbcli': fdbcli, 'fdbbackup': fdbbackup, 'fdbrestore': fdbrestore}[os.path.basename(sys.argv[0])](sys.argv[1:])
