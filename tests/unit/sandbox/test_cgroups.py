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
"""Control groups, in directories that look like theirs."""

import os

import pytest

from imagebuild.sandbox import cgroups
from imagebuild.sandbox import sandbox_settings

SETTINGS = sandbox_settings.SandboxSettings(memory=100, cpus=2, processes=50)
FILES = {
    'v2': ('cgroup.procs', 'cgroup.subtree_control', 'memory.max',
           'memory.swap.max', 'memory.oom.group', 'pids.max', 'cpu.max',
           'memory.events'),
    'memory': ('cgroup.procs', 'memory.limit_in_bytes', 'memory.oom_control',
               'memory.swappiness'),
    'pids': ('cgroup.procs', 'pids.max'),
    'cpu': ('cgroup.procs', 'cpu.cfs_quota_us', 'cpu.cfs_period_us'),
}  # fmt: skip


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Makes hierarchies: which, and what files a group has."""
    mountinfo = tmp_path / 'mountinfo'
    mountinfo.write_text('22 1 0:2 / /proc rw - proc proc rw\n')
    real = cgroups.pathlib.Path.mkdir

    def add(name, root='/'):
        point = tmp_path / name
        real(point)
        kind = ('cgroup2', 'rw') if name == 'v2' else ('cgroup', f'rw,{name}')
        with mountinfo.open('a') as stream:
            stream.write(
                f'30 22 0:9 {root} {point} rw - {kind[0]} cgroup {kind[1]}\n'
            )

    def mkdir(self, *args, **kw):
        real(self, *args, **kw)
        for name in FILES.get(self.parts[-3], ()):
            (self / name).write_text('')

    monkeypatch.setattr(cgroups.pathlib.Path, 'mkdir', mkdir)
    # Files of real groups do not keep them from being removed.
    monkeypatch.setattr(cgroups, '_LEAVING', 0.0)
    add.mountinfo = str(mountinfo)
    return add


def made(host):
    groups = cgroups.make('imagebuild-1', SETTINGS, host.mountinfo)
    for each in groups.joins:
        os.close(each)
    return groups


def read(tmp_path, *parts):
    return tmp_path.joinpath(*parts).read_text()


def test_version_2(host, tmp_path):
    host('v2')
    (tmp_path / 'v2/cgroup.subtree_control').write_text('')
    groups = made(host)
    assert groups.limited == {'memory', 'pids', 'cpu'}
    assert len(groups.joins) == 1
    group = ('v2', 'imagebuild', 'imagebuild-1')
    assert read(tmp_path, *group, 'memory.max') == '104857600'
    assert read(tmp_path, *group, 'memory.oom.group') == '1'
    assert read(tmp_path, *group, 'pids.max') == '50'
    assert read(tmp_path, *group, 'cpu.max') == '200000 100000'


def test_version_1(host, tmp_path):
    for name in ('memory', 'pids', 'cpu'):
        host(name)
    groups = made(host)
    assert groups.limited == {'memory', 'pids', 'cpu'}
    assert len(groups.joins) == 3
    group = ('memory', 'imagebuild', 'imagebuild-1')
    assert read(tmp_path, *group, 'memory.limit_in_bytes') == '104857600'


def test_what_was_killed_is_counted(host, tmp_path):
    host('v2')
    groups = made(host)
    assert groups.killed() == 0
    events = tmp_path / 'v2/imagebuild/imagebuild-1/memory.events'
    events.write_text('low 0\noom 3\noom_kill 2\noom_group_kill 1\n')
    assert groups.killed() == 2


def test_a_controller_that_is_missing(host, tmp_path, monkeypatch):
    monkeypatch.setitem(FILES, 'v2', ('cgroup.procs', 'pids.max'))
    host('v2')
    groups = made(host)
    assert groups.limited == {'pids'}
    assert cgroups.names(host.mountinfo) == {'imagebuild-1'}


def test_no_groups_at_all(host):
    assert made(host).limited == set()
    assert made(host).joins == []


def test_part_of_a_hierarchy_is_somebody_elses(host):
    host('v2', root='/system.slice/x')
    assert made(host).limited == set()


def test_what_may_not_be_made(host, tmp_path):
    host('v2')
    (tmp_path / 'v2/imagebuild').write_text('not a directory')
    assert made(host).limited == set()
