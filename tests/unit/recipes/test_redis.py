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
import hashlib

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.manifest.validators import service
from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake

CONFIG = '/etc/redis/redis.conf'
FAMILIES = {
    'debian': ('debian', '12', 'redis-server'),
    'redhat': ('centos', '9', 'redis'),
}
#: What only the installing command of a family holds.
INSTALLS = {'debian': 'apt-get', 'redhat': 'yum $options'}


class Guest(fake.FakeRemote):
    """A system that keeps what the recipe does to it."""

    @classmethod
    def make(cls, family, *, brings_user=True):
        name, version, package = FAMILIES[family]
        remote = cls.of(name, version)
        remote.package = package
        remote.installed = False
        remote.enabled = False
        remote.brings_user = brings_user
        remote.when(lambda command: True, remote.packages)
        # Whether it has the version, and a directory of its own.
        remote.when(lambda command: command.script is not None)
        remote.when(
            lambda command: INSTALLS[family] in ' '.join(command.argv),
            remote.install,
        )
        remote.when(
            lambda command: command.argv[2:3] == (service.CHANGE.text,),
            remote.enable,
        )
        remote.when(
            lambda command: command.argv[2:3] == (service.LOOK.text,),
            remote.services,
        )
        remote.when(
            lambda command: command.argv[2:3] == (target_files.LOOK.text,),
            remote.look,
        )
        return remote

    def packages(self, command):
        text = ' '.join(command.argv)
        assert 'dpkg-query' in text or 'rpm -q' in text, text
        return fake.Answer(self.dump())

    def dump(self):
        if not self.installed:
            return ''
        if self.package == 'redis-server':
            return (
                'ii \tredis-server\t5:7.0.15-1\tamd64\t\n'
                'ii \tsystemd\t252.39-1\tamd64\t\n'
            )
        return 'package\tredis\t0\t7.2.4\t1.el9\tx86_64\n'

    def install(self, command):
        assert self.package in command.argv
        self.installed = True
        if self.brings_user:
            self.users.add('redis')
            self.groups.add('redis')
        self.files[CONFIG] = fake.File(b'# as packaged\n')
        return fake.Answer(self.dump())

    def services(self, command):
        if not self.installed:
            return fake.Answer(f'{self.package}.service not-found\n')
        word = 'enabled' if self.enabled else 'disabled'
        return fake.Answer(f'{self.package}.service {word}\n')

    def enable(self, command):
        assert command.argv[-2:] == ('enable', f'{self.package}.service')
        self.enabled = True
        return fake.Answer()

    def look(self, command):
        lines = []
        for path in command.argv[4:]:
            found = self.files.get(path)
            if found is None:
                lines.append('absent')
                continue
            digest = hashlib.sha256(found.content).hexdigest()
            lines.append(
                f'file {digest} {found.mode:o} 99 99 '
                f'{found.owner} {found.group}'
            )
        return fake.Answer('\n'.join(lines) + '\n')


@pytest.fixture
def recipe():
    return recipes.get('redis', '7')


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


def results(report):
    """Of the steps that have a state of their own."""
    return [
        step.result
        for step in report.steps
        if step.validator in ('package', 'file', 'service')
    ]


def test_arguments(recipe):
    arguments = {item.name: item for item in recipe.arguments()}
    own = [*arguments][:6]
    assert {name: arguments[name].default for name in own} == {
        'bind': '127.0.0.1',
        'port': '6379',
        'maxmemory': '0',
        'maxmemory-policy': 'noeviction',
        'appendonly': 'no',
        'password': '',
    }
    assert arguments['password'].hidden
    assert arguments['appendonly'].choices == ('yes', 'no')
    assert all(item.description for item in arguments.values())
    assert recipe.description


def test_pack_twice(recipe, family):
    remote = Guest.make(family)
    first = recipe.run(remote)
    assert results(first) == [manifest.Result.CHANGED] * 4
    second = recipe.run(remote)
    assert not second.changed
    assert results(second) == [manifest.Result.OK] * 4
    assert remote.written[0] == CONFIG
    assert len(remote.written) == 2
    recipe.run(remote, reconcile=False)


def test_configuration(recipe, family):
    remote = Guest.make(family)
    values = {
        'bind': '0.0.0.0 ::',
        'port': 7000,
        'maxmemory': '256mb',
        'maxmemory-policy': 'allkeys-lru',
        'appendonly': 'yes',
        'password': 'open sesame',
    }
    recipe.run(remote, values)
    written = remote.files[CONFIG]
    lines = written.content.decode().splitlines()
    for line in (
        'bind 0.0.0.0 ::',
        'port 7000',
        'user default on #'
        + hashlib.sha256(b'open sesame').hexdigest()
        + ' ~* &* +@all',
        'maxmemory 256mb',
        'maxmemory-policy allkeys-lru',
        'appendonly yes',
        'protected-mode yes',
    ):
        assert line in lines
    assert '{{' not in written.content.decode()
    assert 'sesame' not in written.content.decode()
    assert (written.mode, written.owner, written.group) == (
        0o640,
        'redis',
        'redis',
    )
    with pytest.raises(exception.NotConforming, match='another content'):
        recipe.run(remote, values | {'port': 7001}, reconcile=False)


def test_bare_image_does_not_conform(recipe, family):
    remote = Guest.make(family)
    with pytest.raises(exception.NotConforming) as caught:
        recipe.run(remote, reconcile=False)
    assert len(caught.value.failures) == 4
    assert remote.written == []
    assert not remote.installed


def test_package_without_its_user(recipe, family):
    remote = Guest.make(family, brings_user=False)
    with pytest.raises(exception.StepFailed, match='there is no user redis'):
        recipe.run(remote)


def test_plan(recipe, family):
    steps = [
        step
        for step in recipe.plan(Guest.make(family))
        if step.validator in ('package', 'file', 'service')
    ]
    assert [(step.validator, step.state) for step in steps] == [
        ('package', 'missing'),
        ('file', 'missing'),
        ('file', 'missing'),
        ('service', 'unknown'),
    ]
    # Values that steps before would set are known.
    assert steps[1].commands == (f'write {CONFIG}',)
    assert (
        steps[3].commands[0].endswith(f'enable {FAMILIES[family][2]}.service')
    )


def test_password_is_masked(recipe):
    texts = []

    class Monitor(manifest.Monitor):
        def step_finished(self, step, result):
            texts.append(str(result))

    remote = Guest.make('debian')
    report = recipe.run(remote, {'password': 's3cret'}, monitor=Monitor())
    assert 's3cret' not in str(texts) + str(report.to_dict())


@pytest.mark.parametrize(
    'values, reason',
    [
        ({'port': 'http'}, 'not of type port'),
        ({'maxmemory-policy': 'lru'}, 'is not one of'),
        ({'appendonly': 'maybe'}, 'is not one of'),
        ({'nonsense': 1}, 'unknown argument'),
    ],
)
def test_wrong_values(recipe, values, reason):
    remote = fake.FakeRemote()
    with pytest.raises(exception.InvalidArguments, match=reason):
        recipe.run(remote, values)


def test_other_systems_are_refused(recipe):
    with pytest.raises(exception.DistroNotAccepted):
        recipe.run(fake.FakeRemote.of('opensuse-leap', '15.6'))
