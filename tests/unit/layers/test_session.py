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
"""The engine, its layers and a disk together."""

import dataclasses
import os
import pathlib
import time

import hypothesis
import pytest

from imagebuild import distros
from imagebuild import exception
from imagebuild import layers
from imagebuild.layers import entries
from imagebuild.layers import session as sessions
from imagebuild.manifest import validators
from tests.unit.layers import fake_disk
from tests.unit.manifest import engine
from tests.unit.manifest import layered
from tests.unit.manifest import test_step_cache

script, load, results = layered.script, layered.load, layered.results
ONE = script('one', 'append /log one')
TWO = script('two', 'append /log two')
THREE = script('three', 'append /log three')
DAY = 24 * 3600
#: Everything is worth a layer.
ALL = layers.Policy(min_seconds=0)


@pytest.fixture(autouse=True)
def language(monkeypatch):
    monkeypatch.setattr(validators, 'types', lambda: dict(engine.CORE))
    monkeypatch.setattr(distros, 'families', lambda: dict(engine.FAMILIES))
    # Nobody cuts the power here.
    monkeypatch.setattr(os, 'fsync', lambda _descriptor: None)


@dataclasses.dataclass
class Host:
    """A host that builds."""

    directory: pathlib.Path
    limits: layers.Limits = layers.Limits()
    policy: layers.Policy = ALL
    builds: int = 0

    def store(self):
        return layers.Store(self.directory / 'store', self.limits)

    def build(
        self,
        what,
        *,
        values=None,
        base='base',
        from_operator=False,
        operators=False,
        scope='project',
        isolations=('appliance',),
        isolation=None,
        during=None,
        **policy,
    ):
        """Build as a job does.

        :param during: called with the session while the disk is open.
        """
        self.builds += 1
        workspace = self.directory / f'build{self.builds}'
        workspace.mkdir()
        image = fake_disk.base(workspace / 'base')
        bound = what.bind(values)
        with layers.Session(
            self.store(),
            sessions.Base(base, {'size': 1}, from_operator),
            scope=scope,
            isolations=isolations,
            policy=dataclasses.replace(self.policy, **policy),
        ) as session:
            cache = bound.cached(session, operators=operators)
            disk = fake_disk.FakeDisk(session.over(image), workspace)
            disk.session = session
            with session.attached(
                disk.top,
                1024,
                disk.snapshot,
                isolation=isolation or isolations[0],
            ):
                if during:
                    during(session)
                try:
                    disk.report = bound.run(disk.system, cache=cache)
                except exception.StepError as error:
                    disk.report = error.report
                    disk.error = str(error)
            # As a workspace does.
            for path in workspace.iterdir():
                path.unlink()
        return disk


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def log(disk):
    return disk.system.files['/log'].content.decode().split()


def kept(host):
    return list((host.directory / 'store' / 'layers').iterdir())


def test_a_second_build_starts_where_the_first_was(host):
    host.build(load(ONE, TWO))
    disk = host.build(load(ONE, THREE))
    assert disk.system.scripts == ['three']
    assert log(disk) == ['one', 'three']
    assert disk.session.layers == 1
    assert len(disk.chain) == 3  # base, layer, and what was snapshot


def test_an_interrupted_build_does_not_wait_for_its_layers(host, monkeypatch):
    def during(session):
        raise exception.Interrupted(signal='SIGTERM')

    with pytest.raises(exception.Interrupted):
        host.build(load(ONE), during=during)
    assert kept(host) == []


def test_many_layers_lie_over_each_other(host):
    steps = [script(f's{n}', f'append /log {n}') for n in range(10)]
    host.build(load(*steps))
    steps[9] = script('s9', 'append /log other')
    disk = host.build(load(*steps))
    assert disk.system.scripts == ['s9']
    assert log(disk) == [*'012345678', 'other']
    assert disk.session.layers == 9
    assert disk.snapshots == 1


def test_a_layer_is_made_after_so_much_work(host):
    clock = iter([0, 1, 1, 3, 3, 4, 4, 4.5, 5, 9])
    reached = []

    def during(session):
        real = session.reached

        def fake(told):
            next(clock)
            seconds = [1, 2.5, 1, 0.5][len(reached)]
            reached.append(told)
            real(dataclasses.replace(told, seconds=seconds))

        session.reached = fake

    steps = [ONE, TWO, THREE, script('four', 'append /log four')]
    disk = host.build(load(*steps), min_seconds=3, during=during)
    # After the second; what came after it took 1.5 s in all.
    assert disk.snapshots == 1
    disk = host.build(load(*steps), min_seconds=3)
    assert disk.system.scripts == ['three', 'four']


def test_a_boundary_is_kept_however_fast(host):
    what = load({'package': 'a'}, ONE)
    what.validators[0].boundary = True
    assert host.build(what, min_seconds=99).snapshots == 1
    assert host.build(what, min_seconds=99).system.scripts == ['one']


def test_what_changed_nothing_is_no_layer(host):
    what = load({'package': 'a'}, {'argument_set': ARGUMENT}, ONE)
    what.validators[1].boundary = True
    disk = host.build(load({'package': 'a'}))
    assert disk.snapshots == 1
    again = load({'package': 'a'}, {'all': [{'package': 'a'}]})
    assert host.build(again).snapshots == 0


ARGUMENT = {'argument_name': 'x', 'value': '1'}


def test_a_value_from_a_script_is_always_kept(host):
    out = script('out', 'print 1', output='found')
    use = script('use', 'append /log $found', env_vars=['found'])
    host.build(load(out, use), min_seconds=99)
    disk = host.build(load(out, use), min_seconds=99)
    assert disk.system.scripts == ['use']
    assert log(disk) == ['1']


def test_no_secret_is_in_the_directory(host):
    what = load(
        script('uses', 'append /x $secret', env_vars=['secret']),
        script('tells', 'print $secret', env_vars=['secret']),
        script('out', 'print hunter33', output='secret'),
        arguments={'secret': {'default': '', 'hidden': True}},
    )
    host.build(what, values={'secret': 'hunter22'})
    assert kept(host)
    for path in (host.directory / 'store').rglob('*.json'):
        assert 'hunter' not in path.read_text()


def test_none_is_used_when_none_is_wanted(host):
    host.build(load(ONE, TWO))
    first = {path.name for path in kept(host)}
    disk = host.build(load(ONE, TWO), use=False)
    assert disk.system.scripts == ['one', 'two']
    assert {path.name for path in kept(host)} == first
    assert host.build(load(ONE, TWO)).system.scripts == []


# -- whose they are -----------------------------------------------------------


def test_another_project_does_not_see_them(host):
    host.build(load(ONE), scope='a')
    assert host.build(load(ONE), scope='b').system.scripts == ['one']
    assert host.build(load(ONE), scope='a').system.scripts == []


def test_an_operators_are_everybodys(host):
    def build(scope, *steps, **values):
        return host.build(
            load(*steps, arguments={'x': {'default': '1'}}),
            scope=scope,
            from_operator=True,
            operators=True,
            values=values,
        )

    uses = script('uses', 'append /log $x', env_vars=['x'])
    build('a', ONE, uses, TWO)
    assert build('b', ONE, uses, TWO).system.scripts == []
    build('a', ONE, uses, TWO, x='2')
    disk = build('b', ONE, uses, TWO, x='2')
    assert disk.system.scripts == ['uses', 'two']


@pytest.mark.parametrize(
    'base, operators', [(False, True), (True, False), (False, False)]
)
def test_both_base_and_steps_must_be_an_operators(host, base, operators):
    for scope in 'ab':
        disk = host.build(
            load(ONE), scope=scope, from_operator=base, operators=operators
        )
        assert disk.system.scripts == ['one']


# -- age ---------------------------------------------------------------------


def later(monkeypatch, seconds):
    now = time.time()
    monkeypatch.setattr(sessions.time, 'time', lambda: now + seconds)


def test_what_was_fetched_grows_stale(host, monkeypatch):
    what = load({'package': 'a'}, ONE)
    host.build(what)
    later(monkeypatch, DAY - 60)
    assert host.build(what).system.scripts == []
    later(monkeypatch, DAY + 60)
    disk = host.build(what)
    assert disk.system.ran('install') == ['install a']
    assert results(disk.report) == ['changed', 'ran']
    # And is as good as new.
    assert host.build(what).system.scripts == []


def test_what_lies_over_it_is_as_old(host, monkeypatch):
    host.build(load({'package': 'a'}))
    later(monkeypatch, DAY - 60)
    host.build(load({'package': 'a'}, ONE))
    later(monkeypatch, DAY + 60)
    disk = host.build(load({'package': 'a'}, ONE))
    assert disk.system.ran('install') == ['install a']


def test_a_clock_that_was_put_back_makes_nothing_younger(host, monkeypatch):
    host.build(load({'package': 'a'}))
    later(monkeypatch, -DAY)
    disk = host.build(load({'package': 'a'}))
    assert disk.system.ran('install') == ['install a']


# -- how the disk is opened ---------------------------------------------------


def test_layers_of_an_appliance_are_not_for_the_sandbox(host):
    host.build(load(ONE))
    disk = host.build(
        load(ONE), isolations=('sandbox', 'appliance'), isolation='sandbox'
    )
    assert disk.system.scripts == ['one']
    disk = host.build(
        load(ONE), isolations=('sandbox', 'appliance'), isolation='sandbox'
    )
    assert disk.system.scripts == []
    assert disk.session.isolation == 'sandbox'


def test_a_disk_that_is_only_for_the_appliance_has_layers_too(host):
    isolations = ('sandbox', 'appliance')
    host.build(load(ONE, TWO), isolations=isolations, isolation='appliance')
    disk = host.build(
        load(ONE, THREE), isolations=isolations, isolation='appliance'
    )
    assert disk.system.scripts == ['three']
    assert disk.session.isolation == 'appliance'


def test_a_disk_that_is_for_the_sandbox_again_is_opened_there(host):
    isolations = ('sandbox', 'appliance')
    host.build(load(ONE), isolations=isolations, isolation='appliance')
    for store in (host.store(),):
        for path in (store.directory / 'facts').iterdir():
            path.unlink()
    assert (
        host.build(
            load(ONE), isolations=isolations, isolation='sandbox'
        ).session.layers
        == 0
    )
    assert (
        host.build(
            load(ONE), isolations=isolations, isolation='sandbox'
        ).session.layers
        == 1
    )


def test_layers_of_another_way_are_never_opened(host):
    host.build(load(ONE), isolations=('appliance',))
    with pytest.raises(RuntimeError, match='layers of appliance'):
        host.build(load(ONE), isolations=('appliance',), isolation='sandbox')


def test_another_size_of_the_disk_is_another_disk(host):
    host.build(load(ONE))
    disk = host.build(load(ONE), base='other')
    assert disk.system.scripts == ['one']


# -- what goes wrong ----------------------------------------------------------


def test_a_damaged_layer_is_built_again(host):
    host.build(load(ONE, TWO, THREE))
    [second] = [
        path
        for path in kept(host)
        if len(entries.read(path).state['reports']) == 2
    ]
    os.truncate(second / 'disk.qcow2', 10)
    disk = host.build(load(ONE, TWO, THREE))
    assert disk.system.scripts == ['two', 'three']
    assert log(disk) == ['one', 'two', 'three']
    assert host.build(load(ONE, TWO, THREE)).system.scripts == []


def test_a_layer_that_was_made_over_another_is_not_used(host):
    host.build(load(ONE, TWO))
    first = min(kept(host), key=lambda path: path.stat().st_mtime_ns)
    for path in kept(host):
        if len(entries.read(path).state['reports']) == 1:
            first = path
    for file in first.iterdir():
        file.unlink()
    first.rmdir()
    # Made again, it is another file: what lay over the old one is lost.
    disk = host.build(load(ONE, TWO))
    assert disk.system.scripts == ['one', 'two']
    assert log(disk) == ['one', 'two']


def test_a_snapshot_that_fails_fails_nothing(host):
    def during(session):
        def refuse(path):
            raise exception.DiskServerFailed(reason='no')

        session._snapshot = refuse

    disk = host.build(load(ONE, TWO), during=during)
    assert log(disk) == ['one', 'two']
    assert kept(host) == []


def test_a_store_that_cannot_be_written_to_fails_nothing(host, monkeypatch):
    def refuse(*args):
        raise OSError(30, 'Read-only file system')

    monkeypatch.setattr(layers.Store, 'put', refuse)
    monkeypatch.setattr(layers.Store, 'learn', refuse)
    assert log(host.build(load(ONE, TWO))) == ['one', 'two']


def test_what_has_no_room_is_not_kept(host):
    host.limits = layers.Limits(reserve=2**62)
    assert log(host.build(load(ONE, TWO))) == ['one', 'two']
    assert kept(host) == []


def test_all_of_one_build_must_have_room(host):
    """Else one that writes to its disk in each step fills the host."""
    steps = [script(f's{n}', f'append /log {n}') for n in range(9)]
    host.limits = layers.Limits(max_bytes=4 * 4096)
    disk = host.build(load(*steps))
    assert log(disk) == list('012345678')
    assert disk.snapshots == 4
    assert len(kept(host)) == 4


def test_a_disk_consists_of_so_many_files_at_most(host, monkeypatch):
    monkeypatch.setattr(sessions, '_MOST_FILES', 3)
    steps = [script(f's{n}', f'append /log {n}') for n in range(5)]
    assert host.build(load(*steps)).snapshots == 3
    disk = host.build(load(*steps))
    assert disk.system.scripts == ['s3', 's4']
    assert log(disk) == list('01234')
    assert disk.snapshots == 0


def test_what_led_to_a_failure_is_kept(host):
    fails = script('fails', 'fail')
    assert host.build(load(ONE, fails)).error
    assert host.build(load(ONE, TWO)).system.scripts == ['two']


def test_two_builds_of_the_same_do_not_disturb_each_other(host):
    inner = []

    def during(session):
        inner.append(host.build(load(ONE, TWO, THREE)))

    disk = host.build(load(ONE, TWO), during=during)
    assert log(disk) == ['one', 'two']
    assert log(inner[0]) == ['one', 'two', 'three']
    last = host.build(load(ONE, TWO, THREE))
    assert log(last) == ['one', 'two', 'three']


def test_layers_that_do_not_open_are_discarded(host):
    host.build(load(ONE, TWO))
    with layers.Session(
        host.store(),
        sessions.Base('base', {'size': 1}),
        scope='project',
        isolations=('appliance',),
    ) as session:
        load(ONE, TWO).bind().cached(session)
        assert session.layers == 2
        session.discard()
        assert session.layers == 0
    assert kept(host) == []


def test_a_disk_that_was_not_opened_over_them_is_built_whole(host):
    host.build(load(ONE, TWO))
    with layers.Session(
        host.store(),
        sessions.Base('base', {'size': 1}),
        scope='project',
        isolations=('appliance',),
    ) as session:
        bound = load(ONE, TWO).bind()
        cache = bound.cached(session)
        assert session.layers == 2
        remote = layered.system()
        bound.run(remote, cache=cache)
    assert remote.scripts == ['one', 'two']


def test_those_of_a_running_build_are_not_removed(host):
    host.build(load(ONE, TWO))

    def during(session):
        layers.Store(
            host.directory / 'store', layers.Limits(max_bytes=1)
        ).bound()

    disk = host.build(load(ONE, TWO, THREE), during=during)
    assert disk.system.scripts == ['three']
    assert log(disk) == ['one', 'two', 'three']


# -- any manifest, any edit ---------------------------------------------------


@hypothesis.settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
@hypothesis.given(versions=test_step_cache.edited())
def test_the_end_is_that_of_a_build_from_nothing(tmp_path_factory, versions):
    host = Host(tmp_path_factory.mktemp('host'))
    names = ('p', 'q', 'out')
    for steps, values in versions:
        what = load(
            *steps, arguments={name: {'default': '0'} for name in names}
        )
        with_layers = host.build(what, values=values).system
        plain = layered.system()
        try:
            what.run(plain, values)
        except exception.StepError:
            pass
        assert with_layers.disk() == plain.disk()
