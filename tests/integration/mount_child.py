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
"""A process with mounts of its own, for tests of what the supervisor mounts.

Run as a script it serves: it reads a pickled name and arguments, and answers
with a result or an exception. In the test it is a :class:`MountChild`.
"""

import contextlib
import os
import pickle
import subprocess
import sys
import time
from typing import Any

from imagebuild.sandbox import mount_calls
from imagebuild.sandbox import mount_plan
from imagebuild.sandbox import mounts


class MountChild:
    """Its methods are those of ``mounts.Mounts`` and of its tree."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ['unshare', '--mount', '--propagation', 'private']
            + [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def spawn(self, argv: Any) -> int:
        return self._ask('spawn', list(argv))

    def begin(self, plan: mount_plan.Plan, root: Any) -> None:
        self._ask('begin', plan.to_json(), str(root))

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **kw: self._ask(name, *args, **kw)

    def _ask(self, name: str, *args: Any, **kw: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        pickle.dump((name, args, kw), self.process.stdin)
        self.process.stdin.flush()
        good, answer = pickle.load(self.process.stdout)
        if not good:
            raise answer
        return answer

    def close(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate()

    def __enter__(self) -> 'MountChild':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _Served:
    def __init__(self) -> None:
        self.mounts: Any = None
        self.children: list[subprocess.Popen[bytes]] = []

    def call(self, name: str, args: Any, kw: Any) -> Any:
        mine = getattr(self, f'_do_{name}', None)
        if mine:
            return mine(*args, **kw)
        own = getattr(self.mounts, name, None)
        return (own or getattr(self.mounts.tree, name))(*args, **kw)

    def _do_spawn(self, argv: list[str]) -> int:
        self.children.append(
            subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
            )
        )
        return self.children[-1].pid

    def _do_begin(self, raw: Any, root: str) -> None:
        os.makedirs(root, exist_ok=True)
        plan = mount_plan.Plan.from_json(raw)
        self.mounts = mounts.Mounts(plan, mounts.pathlib.Path(root))

    def _do_set(self, **values: float) -> None:
        """Set time limits."""
        for name, value in values.items():
            setattr(mounts, name, value)

    def _do_without(self, kind: str) -> None:
        """Have a kernel without a file system."""
        knows = mount_calls.knows
        mount_calls.knows = lambda each: each != kind and knows(each)

    def _do_as_mapped_root(self, command: str) -> str:
        """Run a command as root of a user namespace, who is 500000 here.

        In the guest's tree as it is shown to it.
        """
        place = self.mounts._root.parent
        (place / 'shown').mkdir()
        holder = subprocess.Popen(
            ['unshare', '--user', 'sleep', '60'], stdout=subprocess.DEVNULL
        )
        proc = f'/proc/{holder.pid}'
        own = os.readlink('/proc/self/ns/user')
        while os.readlink(f'{proc}/ns/user') == own:
            time.sleep(0.01)
        for name in ('uid_map', 'gid_map'):
            with open(f'{proc}/{name}', 'w') as written:
                written.write('0 500000 65536')
        namespace = os.open(f'{proc}/ns/user', os.O_RDONLY)
        clone = self.mounts.clone_idmapped(namespace)
        shown = os.open(place / 'shown', os.O_PATH)
        mount_calls.attach(clone, shown)
        os.close(clone)
        os.close(shown)
        os.close(namespace)
        try:
            return subprocess.run(
                ['nsenter', '-t', str(holder.pid), '--user']
                + ['--setuid', '0', '--setgid', '0', 'sh', '-c', command],
                check=True, capture_output=True, text=True,
                cwd=place / 'shown',
            ).stdout  # fmt: skip
        except subprocess.CalledProcessError as error:
            raise AssertionError(error.stderr) from None
        finally:
            holder.kill()
            holder.wait()
            mount_calls.detach(str(place / 'shown'))

    def _do_sh(self, command: str) -> str:
        """Run a command beside the mounts, in the directory of the root."""
        return subprocess.run(
            command,
            shell=True,
            check=True,
            capture_output=True,
            text=True,
            cwd=self.mounts._root.parent,
        ).stdout


def _serve() -> None:
    served = _Served()
    answers = os.fdopen(os.dup(1), 'wb')
    os.dup2(2, 1)
    while True:
        try:
            name, args, kw = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        try:
            answer = True, served.call(name, args, kw)
        except Exception as error:
            answer = False, error
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == '__main__':
    _serve()
