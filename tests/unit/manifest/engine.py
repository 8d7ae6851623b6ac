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
"""A small world to run manifests in: two families, packages in a dict."""

from imagebuild import distros
from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import argument_set
from imagebuild.manifest.validators import cases
from imagebuild.manifest.validators import copy_script
from imagebuild.manifest.validators import groups
from imagebuild.manifest.validators import package
from imagebuild.manifest.validators import script
from imagebuild.remotes import fake

CORE = {
    kind.type_name: kind
    for kind in (
        argument_set.ArgumentSetValidator,
        cases.ArgumentCaseValidator,
        cases.OsCaseValidator,
        copy_script.CopyScriptValidator,
        groups.AllValidator,
        groups.AnyValidator,
        package.PackageValidator,
        script.ScriptValidator,
    )
}


class State(distros.PackageState):
    def __init__(self, lines):
        self.found = dict(line.split() for line in lines)

    def satisfies(self, package):
        version = self.found.get(package.name)
        return version is not None and package.version in (None, version)

    def version(self, name):
        return self.found.get(name)


class Family(distros.Distro):
    """One command to look, one to install."""

    def package_state(self, remote, packages):
        asked = sorted({item.name for item in packages})
        return State(remote.run(['query', *asked]).stdout.splitlines())

    def install(
        self, remote, packages, *, refresh, asked_about=(), on_output=None
    ):
        for argv in self.install_plan(packages, refresh=refresh):
            result = remote.run(argv, on_output=on_output)
        return State(
            line.removeprefix('now ')
            for line in result.stdout.splitlines()
            if line.startswith('now ')
        )

    def install_plan(self, packages, *, refresh):
        wanted = [
            f'{item.name}={item.version}' if item.version else item.name
            for item in packages
        ]
        argv = ['install', *wanted]
        return [['refresh'], argv] if refresh else [argv]

    def repository_files(self, repository):
        return []

    def cache_cleanup(self):
        return 'true'


class Debian(Family):
    family = 'debian'
    ids = frozenset({'debian', 'ubuntu'})


class RedHat(Family):
    family = 'redhat'
    ids = frozenset({'rhel', 'centos', 'fedora'})


FAMILIES = {'debian': Debian, 'redhat': RedHat}


class System(fake.FakeRemote):
    """A system whose packages live in :attr:`installed`."""

    def world(self, installed=(), available=()):
        self.installed = dict.fromkeys(installed, '1.0')
        self.available = dict.fromkeys(available, '1.0')
        self.on(['query'], self._query)
        self.on(['refresh'])
        self.on(['install'], self._install)
        return self

    def _query(self, command):
        found = [
            f'{name} {self.installed[name]}\n'
            for name in command.argv[1:]
            if name in self.installed
        ]
        return fake.Answer(''.join(found))

    def _install(self, command):
        for word in command.argv[1:]:
            name, _, version = word.partition('=')
            if (version or '1.0') != self.available.get(name):
                return fake.Answer('', f'E: no package {word}\n', 100)
        for word in command.argv[1:]:
            name = word.partition('=')[0]
            self.installed[name] = self.available[name]
        return fake.Answer(
            ''.join(f'now {k} {v}\n' for k, v in self.installed.items())
        )

    def ran(self, *names):
        """The commands and scripts of these names, as words."""
        return [
            ' '.join(command.argv)
            for command in self.commands
            if not names or command.argv[0] in names
        ]

    def changes(self):
        """Everything that is not a look."""
        return [
            *self.ran('install', 'refresh'),
            *self.written,
            *self.removed,
        ]


def system(name='ubuntu', version='22.04', installed=(), available=()):
    return System.of(name, version).world(installed, available)


def problems(text, **kwargs):
    """What is wrong with a manifest, as texts; [] if nothing is."""
    try:
        manifest.load(text, **kwargs)
    except exception.InvalidManifest as error:
        return [str(problem) for problem in error.errors]
    return []


class Recorder(manifest.Monitor):
    """Remembers everything it was told."""

    def __init__(self):
        self.events = []
        self.lines = []

    def run_started(self, total):
        self.events.append(('run', total))

    def step_started(self, step):
        self.events.append(('start', step.path))
        self.lines.append(repr(step))

    def output(self, step, stream, line):
        self.events.append((stream, line))
        self.lines.append(line)

    def step_finished(self, step, result):
        self.events.append(('end', step.path, str(result.result)))
        self.lines.append(repr(step) + repr(result))

    def run_finished(self, report):
        self.events.append(('finished',))
        self.lines.append(repr(report.to_dict()))
