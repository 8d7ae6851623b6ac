# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The driver ``snapshot`` alone, over services that answer by HTTP."""

import json
import sys
import uuid
from unittest import mock

import jsonschema
import pytest

from imagebuild import artifacts
from imagebuild import exception
from imagebuild import manifest
from imagebuild import remotes
from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.clients import rest
from imagebuild.drivers import base
from imagebuild.drivers import registry
from imagebuild.drivers import snapshot
from imagebuild.drivers.snapshot import driver as snapshot_driver
from imagebuild.drivers.snapshot import ssh_access
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings
from tests import fake_glance
from tests import fake_nova

MANIFEST = {
    'validators': [{'package': 'nginx'}, {'script': {'s': {'inline': 'x'}}}]
}
NETWORK = '0a5c3ab8-5b5d-4a3c-8f60-1f3c0d1e2a9b'


@pytest.fixture
def glance():
    with fake_glance.FakeGlance() as server:
        yield server


@pytest.fixture
def nova(glance):
    with fake_nova.FakeNova(glance) as server:
        yield server


@pytest.fixture
def sections(glance, nova, tmp_path):
    return {
        **glance.config,
        'disks': {'cache_dir': str(tmp_path / 'cache')},
        'snapshot': {
            'endpoint_override': nova.url,
            'flavor': 'm1.tiny',
            'poll_interval': 0.01,
        },
    }


@pytest.fixture
def driver():
    return registry.get('snapshot')


@pytest.fixture
def build(driver, glance, sections, tmp_path):
    """Build as a job does; what came of it."""
    image = glance.add(b'disk', visibility='public')

    def build(description=None, kind='glance', **options):
        program = manifest.load(description or MANIFEST).bind().program()
        context = base.BuildContext(
            base_image=base.BaseImage(kind=kind, id=image['id']),
            options=options,
            workspace=tmp_path,
            settings=base.Settings.from_config(sections),
            build_id=str(uuid.uuid4()),
        )
        with driver.open(context) as disk:
            report = manifest.followed(
                program,
                lambda listener: disk.run_program(program, listener),
                manifest.Monitor(),
            )
            made = disk.finish(tmp_path / 'image', 'qcow2')
        build.context = context
        return report, made

    return build


@pytest.fixture
def boot(build, driver):
    """Build, and boot what comes of it; how that went."""

    def boot(timeout=60, **wanted):
        _, made = build()
        return boot_test.run_elsewhere(
            lambda data: driver.boot(build.context, made, data),
            boot_test.BootSpec(
                wanted=expectations.Expectations(**wanted), timeout=timeout
            ),
        )

    return boot


def test_boots_what_it_has_made(boot, glance, nova):
    outcome = boot(cloud_init=True, ports=(22,), commands=('true',))
    assert outcome.passed, outcome
    assert nova.servers == {}
    assert 'login:' in outcome.console
    first, second = nova.made
    [image] = [
        each for each in glance.images.values() if artifacts.ATTEMPT in each
    ]
    assert second.body['imageRef'] == image['id']
    assert 'for port in 22; do' in second.script()
    # As the first one in all else.
    for each in (first, second):
        del each.body['imageRef'], each.body['user_data']
    assert first.body == second.body


def test_boots_without_being_asked_anything(boot, nova):
    assert boot().passed
    assert nova.made[1].program() == '#cloud-config\n{}\n'


@pytest.mark.parametrize(
    ('dies', 'hold', 'reason'),
    [
        ('\nKernel panic - not syncing: no init\n', '', 'the kernel panicked'),
        ('', 'off', 'the machine switched itself off'),
        ('', 'boot', 'the time of 1 second is up'),
    ],
)
def test_what_does_not_boot(dies, hold, reason, boot, nova):
    nova.dies = dies
    nova.hold.add(hold)
    outcome = boot(timeout=1 if hold == 'boot' else 60, systemd=True)
    assert not outcome.passed
    assert outcome.reason.startswith(reason)
    assert nova.servers == {}


@pytest.mark.parametrize(
    ('trouble', 'reason'),
    [
        (
            {'fault_of_booted': 'No valid host was found.'},
            'No host of the cloud has room for the server',
        ),
        (
            {
                'later': {
                    'POST /servers$': (403, 'Quota exceeded for instances')
                }
            },
            'The project of this service has no room',
        ),
        (
            {'later': {'GET /servers/': (404, 'Instance could not be found')}},
            'was deleted by somebody else',
        ),
    ],
)
def test_trouble_of_nova_is_no_fault_of_the_image(
    trouble, reason, boot, nova, glance
):
    later = trouble.pop('later', {})
    for name, value in trouble.items():
        setattr(nova, name, value)

    def on_create(server):
        if nova.boots_image(server):
            nova.refuses.update(
                {path: said for path, said in later.items() if 'GET' in path}
            )

    nova.on_create = on_create
    if 'POST /servers$' in later:
        # The next one: the server of the build is there by then.
        nova.on_create = lambda server: nova.refuses.update(later)
    with pytest.raises(exception.EnvironmentFault, match=reason):
        boot()
    assert nova.servers == {}


def test_a_server_that_does_not_come_to_be(build, driver, nova, sections):
    _, made = build()
    nova.hold.add('BUILD')
    sections['snapshot']['server_timeout'] = 0.3
    with pytest.raises(exception.EnvironmentFault, match='not ACTIVE, after'):
        with driver.boot(build.context, made, ''):
            pass
    assert nova.servers == {}


def test_a_file_is_not_booted_by_nova(build, driver, tmp_path):
    build()
    made = artifacts.FileArtifact(tmp_path / 'image', 'qcow2', 1)
    with pytest.raises(exception.InvalidInput, match='made of an image'):
        with driver.boot(build.context, made, ''):
            pass


def test_says_what_it_is(driver):
    assert isinstance(driver, snapshot.SnapshotDriver)
    assert driver.makes({}) == 'image'
    assert driver.runs_program({}) is True
    assert driver.by_default is False
    assert driver.works_in_cloud({}) is False
    assert driver.works_in_cloud({'keystone': {'auth_url': 'x'}}) is True
    schema = driver.options.published()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema
    for name, option in schema['properties'].items():
        assert option['description'].endswith('.'), name


def test_a_server_becomes_an_image(build, glance, nova):
    report, made = build()
    assert [step.result for step in report.steps] == ['changed', 'changed']
    image = glance.images[made.image_id]
    assert image['status'] == 'active'
    assert image[artifacts.ATTEMPT] == f'{made.stamp.build_id}/1'
    assert nova.servers == {}


@pytest.mark.parametrize(
    ('trouble', 'kind', 'reason'),
    [
        (
            {'fault': 'No valid host was found. There are not enough hosts.'},
            exception.EnvironmentFault,
            'No host of the cloud has room for the server',
        ),
        (
            {'fault': 'Exceeded maximum number of retries.\x1b[2J'},
            exception.EnvironmentFault,
            r'in error: Exceeded maximum number of retries.\x1b[2J.',
        ),
        (
            {
                'refuses': {
                    'POST /servers$': (
                        403,
                        'Quota exceeded for instances: Requested 1, but '
                        'already used 10 of 10 instances',
                    )
                }
            },
            exception.EnvironmentFault,
            'The project of this service has no room for a server more: '
            'Quota exceeded for instances',
        ),
        (
            {'refuses': {'POST /servers$': (400, 'Invalid zone')}},
            exception.InvalidInput,
            'The compute service refuses this: Invalid zone (HTTP 400)',
        ),
        (
            {'refused': 'debian 12 is none of these: centos'},
            exception.InvalidInput,
            'The description is not for this system: debian 12 is none',
        ),
        (
            {'failing': (3, 'so\x1b[2J it is')},
            exception.StepFailed,
            r'so\x1b[2J it is',
        ),
        (
            {'refuses': {'createImage|/action$': (404, 'gone')}},
            None,
            '',
        ),
    ],
)
def test_what_goes_wrong_is_said(trouble, kind, reason, build, nova, glance):
    for name, value in trouble.items():
        setattr(nova, name, value)
    if kind is None:
        # A console that is not there yet.
        build()
        return
    with pytest.raises(kind) as caught:
        build()
    assert reason in str(caught.value)
    assert nova.servers == {}
    assert len(glance.images) == 1


@pytest.mark.parametrize(
    ('path', 'answer'),
    [
        ('GET /flavors', {}),
        ('GET /flavors', {'flavors': [{'id': '1'}]}),
        ('GET /flavors', {'flavors': ['m1.tiny']}),
        (
            'GET /flavors',
            {'flavors': [{'id': '1', 'name': 'm1.tiny', 'disk': 'much'}]},
        ),
        ('POST /servers$', {}),
        ('POST /servers$', {'server': 'here'}),
        ('GET /servers/', {}),
        ('GET /servers/', {'server': ['ACTIVE']}),
        ('GET /servers/', {'server': {'status': 'ERROR', 'fault': 'bad'}}),
        ('GET /servers/', b'[' * 100_000),
        ('GET /servers/', b'{"server": "' + b'x' * 17_000_000 + b'"}'),
        ('/action$', ['output']),
        ('/action$', {}),
    ],
)
def test_nonsense_is_a_sentence(path, answer, build, nova, sections):
    """No KeyError is a reason; whatever is left is reaped by its stamp."""
    nova.nonsense[path] = answer
    sections['glance']['retry_timeout'] = 0.1
    sections['snapshot'].update(boot_timeout=0.1, stop_timeout=0.1)
    with pytest.raises(exception.ImageBuildError):
        build()


@pytest.mark.parametrize(
    'page',
    [
        {},
        {'servers': 'x'},
        {'servers': [{'id': number} for number in range(rest.PAGE)]},
    ],
)
def test_nonsense_in_a_list(page, driver, nova, sections):
    """One that is the same for ever is no list either."""
    nova.nonsense['/servers/detail'] = page
    settings = base.Settings.from_config(sections)
    with pytest.raises(exception.ServiceUnavailable, match='understood'):
        set(driver.left_behind('this-service', settings))


@pytest.mark.parametrize(
    'body', [{'error': 'gone'}, {'a': {'code': 404}}, {}, [], b'<p>gone</p>']
)
def test_an_error_is_one_whatever_says_it(body, driver, nova, sections):
    """Not always Nova's own words: a server that is gone is gone."""
    settings = base.Settings.from_config(sections)
    stamp = settings.stamp(str(uuid.uuid4()), 1)
    made = {'name': stamp.name, 'metadata': stamp.properties()}
    server_id = str(uuid.uuid4())
    nova.servers[server_id] = fake_nova.Server(server_id, made)
    nova.nonsense[f'/servers/{server_id}$'] = (404, body)
    assert driver.reap(stamp, settings) == 1


@pytest.mark.parametrize(
    'addresses', ['x', {'a': 'b'}, {'a': [{'addr': 1.5}]}]
)
def test_nonsense_of_addresses(addresses):
    with pytest.raises(exception.EnvironmentFault, match='address'):
        ssh_access.address_of({'addresses': addresses})


@pytest.mark.parametrize(
    ('hold', 'option', 'reason'),
    [
        ('BUILD', 'server_timeout', 'is BUILD, and not ACTIVE, after 0.3 s'),
        ('console', 'boot_timeout', 'Linux version 6.1'),
        ('stop', 'stop_timeout', 'is ACTIVE, and not SHUTOFF, after 0.3 s'),
        ('image', 'image_timeout', 'is queued after 0.3 s'),
    ],
)
def test_every_wait_has_an_end(
    hold, option, reason, build, driver, sections, nova, glance
):
    nova.hold.add(hold)
    sections['snapshot'][option] = 0.3
    with pytest.raises(exception.ImageBuildError, match=reason):
        build()
    assert nova.servers == {}
    # What has been begun is found, whoever knew of it.
    settings = base.Settings.from_config(sections)
    for build_id, attempt in set(driver.left_behind('this-service', settings)):
        assert driver.reap(settings.stamp(build_id, attempt), settings) == 1
    assert len(glance.images) == 1


def test_an_unclean_server_is_no_image(build, nova, glance):
    nova.unclean = True
    with pytest.raises(exception.StepFailed, match=r'cleaned up \(exit code'):
        build()
    assert nova.servers == {}
    assert len(glance.images) == 1


def test_reaped(driver, sections, nova, glance, monkeypatch):
    """Servers first, of several pages, and nothing of others."""
    settings = base.Settings.from_config(sections)
    stamps = [settings.stamp(str(uuid.uuid4()), 1) for _ in range(5)]
    other = artifacts.AttemptStamp('another', stamps[0].build_id, 1)
    for number, stamp in enumerate([*stamps, other]):
        server_id = f'{number:08}-0000-0000-0000-000000000000'
        body = {'name': stamp.name, 'metadata': stamp.properties()}
        nova.servers[server_id] = fake_nova.Server(server_id, body)
        glance.add(b'x', **stamp.properties())
    left = set(driver.left_behind('this-service', settings))
    assert left == {(each.build_id, 1) for each in stamps}
    assert driver.reap(stamps[0], settings) == 2
    assert driver.reap(stamps[0], settings) == 0
    assert len(nova.servers) == len(glance.images) == 5
    nova.hold.add('delete')
    sections['snapshot']['stop_timeout'] = 0.2
    settings = base.Settings.from_config(sections)
    with pytest.raises(exception.EnvironmentFault, match='still there'):
        driver.reap(stamps[1], settings)
    # Others are waiting, however long an operator lets a build wait.
    sections['snapshot']['stop_timeout'] = 60
    monkeypatch.setattr(snapshot_driver, '_REAPED', 0.3)
    settings = base.Settings.from_config(sections)
    with pytest.raises(exception.EnvironmentFault, match='there 0.3 seconds'):
        driver.reap(stamps[1], settings)


def test_deleted_servers_that_are_kept(build, nova, sections, caplog):
    """By a Nova that has them reclaimed later."""
    nova.hold.add('reclaim')
    sections['snapshot']['stop_timeout'] = 60
    build()
    assert 'still there' not in caplog.text
    [server] = nova.servers.values()
    assert server.status == 'SOFT_DELETED'


def test_ssh_without_its_library(build, nova, monkeypatch):
    monkeypatch.setitem(sys.modules, 'imagebuild.remotes.ssh', None)
    monkeypatch.delattr(remotes, 'ssh', raising=False)
    with pytest.raises(exception.MissingDependency):
        build(configure='ssh', networks=[NETWORK])
    assert nova.made == []


def test_an_image_that_changes_between_our_look_and_novas(build, nova, glance):
    """Whoever owns it can do that, and change it back."""
    [image] = glance.images.values()

    def attach(server):
        server.attached.append('of-somebody-else')

    def change(server):
        image['block_device_mapping'] = '[{"volume_id": "x"}]'

    nova.hold.add('BUILD')
    for on_create, said in (
        (attach, 'has volumes that this build has not made'),
        (change, 'The base image names volumes'),
    ):
        nova.on_create = on_create
        with pytest.raises(exception.InvalidInput, match=said):
            build()
        assert nova.servers == {}
        nova.hold.clear()


@pytest.mark.parametrize(
    ('status', 'by_machine', 'seen', 'fault', 'said'),
    [
        ('ACTIVE', True, 'it lets us in again', 'user', 'gone; then: it lets'),
        ('ACTIVE', False, 'Connection refused', 'user', 'since x.sh its SSH'),
        # Nova has it so for long when its host is dead.
        ('ACTIVE', True, '', 'service', '192.0.2.7 cannot be used: gone'),
        ('ACTIVE', False, '', 'service', '192.0.2.7 cannot be used: gone'),
        ('SHUTOFF', True, '', 'user', 'Nova has it as SHUTOFF (192.0.2.7 can'),
        ('SHUTOFF', False, '', 'service', '192.0.2.7 cannot be used: gone'),
        ('REBOOT', True, '', 'user', 'What ran on the server broke the run: '),
        ('REBOOT', False, '', 'service', '192.0.2.7 cannot be used: gone'),
        ('MIGRATING', True, 'x', 'service', '192.0.2.7 cannot be used: gone'),
        ('ERROR', True, 'x', 'service', ''),
        ('', True, 'x', 'service', 'The server was deleted by somebody else.'),
    ],
)
def test_a_server_that_is_not_reached_any_more(
    build, nova, monkeypatch, status, by_machine, seen, fault, said
):
    """By SSH: a script may have stopped sshd, or the server."""

    def connect(*_args, on_lost, **_kw):
        [server] = nova.servers.values()
        server.status = status
        if not status:
            nova.servers.clear()
        error = ssh_connection.unreachable('192.0.2.7', 'gone')
        raise on_lost(
            ssh_settings.Loss('x.sh', error, by_machine, lambda: seen)
        )

    monkeypatch.setattr(
        ssh_access.Access,
        'connect',
        mock.create_autospec(ssh_access.Access.connect, side_effect=connect),
    )
    monkeypatch.setattr(ssh_access, '_is_apart', lambda address: False)
    with pytest.raises(exception.ImageBuildError) as caught:
        build(configure='ssh', networks=[NETWORK])
    assert caught.value.fault == fault
    assert said in str(caught.value)


def test_servers_are_as_the_operator_says(build, sections, nova):
    sections['snapshot'].update(
        networks=[NETWORK],
        security_groups=['mirrors'],
        availability_zone='here',
    )
    build()
    build(networks=[], config_drive=False, availability_zone='there')
    first, second = (server.body for server in nova.made)
    assert first['networks'] == [{'uuid': NETWORK}]
    assert first['security_groups'] == [{'name': 'mirrors'}]
    assert first['config_drive'] is False
    assert second['networks'] == 'none'
    assert 'security_groups' not in second
    # Nothing else brings it its user data.
    assert second['config_drive'] is True
    assert second['availability_zone'] == 'there'


def test_what_users_may_not_ask_for(driver, sections):
    asked = {'flavor': 'huge', 'networks': [NETWORK]}
    driver.validate(asked)
    with pytest.raises(base.InvalidDriverOptions) as caught:
        driver.check_asked(asked, asked, sections)
    assert [each.path for each in caught.value.errors] == [
        'flavor', 'networks[0]'
    ]  # fmt: skip
    # What an entry of the catalogue says is the operator's.
    driver.check_asked({}, asked, sections)
    sections['snapshot'].update(
        allowed_flavors=['huge'], allowed_networks=['*']
    )
    driver.check_asked(asked, asked, sections)
    with pytest.raises(base.InvalidDriverOptions, match='has set none'):
        driver.check_asked({}, {}, {})


@pytest.mark.parametrize(
    'options',
    [
        {'flavor': '--x'},
        {'flavor': 'a\n'},
        {'networks': ['net; rm']},
        {'configure': 'telnet'},
        {'nonsense': 1, 'more': 2},
        # A host, which only administrators may choose: as which Nova is asked.
        {'availability_zone': 'nova:compute-1'},
        {'availability_zone': 'nova\u2028'},
    ],
)
def test_bad_options(driver, options):
    if options == {'flavor': '--x'}:
        # A name is a name, wherever it begins.
        driver.validate(options)
        return
    with pytest.raises(base.InvalidDriverOptions):
        driver.validate(options)


def test_before_a_server_is_made(build, nova, glance, sections):
    with pytest.raises(exception.InvalidInput, match='no flavor "huge"'):
        build(flavor='huge')
    sections['snapshot']['flavor'] = 'm9.typo'
    with pytest.raises(
        exception.EnvironmentFault, match=r'^\[snapshot\] flavor: there is no'
    ):
        build()
    sections['snapshot']['flavor'] = 'm1.tiny'
    with pytest.raises(exception.InvalidInput, match='image in Glance'):
        build(kind='url')
    [image] = glance.images.values()
    image['block_device_mapping'] = '[{"volume_id": "of-somebody-else"}]'
    with pytest.raises(exception.InvalidInput, match='names volumes'):
        build()
    del image['block_device_mapping']
    image['min_disk'] = 10
    with pytest.raises(exception.InvalidInput, match='needs a disk of 10'):
        build()
    sections['snapshot']['endpoint_override'] = 'http://127.0.0.1:9'
    with pytest.raises(exception.ServiceUnavailable, match='compute'):
        build()
    assert nova.made == []
