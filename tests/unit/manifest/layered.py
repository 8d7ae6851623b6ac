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
"""A system whose disk can be kept and put back, and who keeps it.

Its scripts are read line by line::

    append PATH TEXT    add a line to a file; $NAME is a variable
    print TEXT          print
    fail                exit with 1
"""

import copy
import hashlib
import json
import string

from imagebuild import manifest
from imagebuild.remotes import fake
from tests.unit.manifest import engine


class System(engine.System):
    """Counts the scripts that it runs."""

    def ready(self):
        self.world(available=('a', 'b', 'c', 'd'))
        self.when(lambda command: command.script is not None, self._script)
        self.on(['/bin/sh', '-c'])
        self.scripts = []
        return self

    def _script(self, command):
        self.scripts.append(command.argv[0])
        printed = ''
        for line in command.script.decode().splitlines():
            text = string.Template(line).safe_substitute(command.env)
            word, _, rest = text.partition(' ')
            if word == 'append':
                path, _, added = rest.partition(' ')
                file = self.files.setdefault(path, fake.File())
                file.content += added.encode() + b'\n'
            elif word == 'print':
                printed += rest + '\n'
            elif word == 'fail':
                return fake.Answer(printed, 'it failed\n', 1)
        return fake.Answer(printed)

    # -- its disk ------------------------------------------------------------

    def disk(self):
        return copy.deepcopy((self.files, self.installed))

    def put_back(self, disk):
        self.files, self.installed = copy.deepcopy(disk)


def system(name='debian', version='12'):
    return System.of(name, version).ready()


class Keeper:
    """A checkpoint in memory; it keeps what every step leaves.

    :ivar asked: the keys that were looked for.
    """

    identity = 'the base'
    from_operator = True

    def __init__(self, *, wanted=lambda reached: True):
        self.known = None
        self.kept = {}
        self.wanted = wanted

    def start(self, remote):
        """Begin another run, over a fresh base."""
        self.remote = remote
        self.found = []
        self.told = []

    def facts(self):
        return self.known

    def learn(self, facts):
        self.known = json.loads(json.dumps(facts))

    def digest(self, content):
        return hashlib.sha256(content.encode()).hexdigest()

    def find(self, key, *, operators):
        state, disk, shared = self.kept.get(key, (None, None, False))
        if state is not None and operators >= shared:
            self.found.append(key)
            self.remote.put_back(disk)
            return json.loads(json.dumps(state))
        return None

    def opened(self):
        return True

    def reached(self, reached):
        self.told.append(reached)
        if self.wanted(reached):
            state = json.dumps(reached.state)
            self.kept[reached.key] = (
                json.loads(state),
                self.remote.disk(),
                reached.operators,
            )


def run(what, keeper, remote=None, *, monitor=None, values=None):
    """Run a manifest over a base, with what the keeper has."""
    remote = remote or system()
    keeper.start(remote)
    bound = what.bind(values)
    cache = bound.cached(keeper)
    report = bound.run(remote, monitor=monitor, cache=cache)
    return remote, report


def load(*steps, arguments=None):
    """A manifest of steps that are written as Python values."""
    document = {'validators': list(steps)}
    if arguments:
        document['arguments'] = arguments
    return manifest.load(json.dumps(document).encode())


def script(name, *lines, **properties):
    return {'script': {name: {'inline': '\n'.join(lines), **properties}}}


def results(report):
    return [str(step.result) for step in report.steps]
