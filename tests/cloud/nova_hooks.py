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
"""A conductor, or its job, that tells the stages of a server.

    python -m tests.cloud.nova_hooks SOCKET conductor [its arguments]
    python -m tests.cloud.nova_hooks SOCKET job

See :mod:`tests.integration.kills.hooks`. The servers are Nova's, and what is
in them need not boot: what its console says is made up here.
"""

import functools
import sys
from typing import Any

from tests import fake_nova
from tests.integration.kills import hooks


def after(owner: Any, name: str, phase: str) -> None:
    """Reach a phase when a function has returned."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def wrapped(*args: Any, **kw: Any) -> Any:
        made = original(*args, **kw)
        hooks.reach(phase)
        return made

    setattr(owner, name, wrapped)


def pretend_consoles() -> None:
    """Have each server say that its program has run."""
    from imagebuild.clients import compute

    original = compute.Compute.create_server
    bodies: dict[str, Any] = {}
    speaker = fake_nova.FakeNova(None)

    def create(self: Any, server: Any) -> str:
        made = original(self, server)
        bodies[made] = dict(server)
        return made

    def console(self: Any, server_id: str, lines: int) -> str:
        server = fake_nova.Server(server_id, bodies[server_id])
        return str(speaker.said(server))

    compute.Compute.create_server = create  # type: ignore[method-assign]
    compute.Compute.console = console  # type: ignore[method-assign]


def install() -> None:
    """Have this process, a job, do all of that."""
    from imagebuild.clients import compute
    from imagebuild.drivers.snapshot import attempt
    from imagebuild.drivers.snapshot import server
    from imagebuild.stores import glance_adoption

    pretend_consoles()
    hooks.at_steps_of_drivers()
    hooks.before(compute.Compute, 'create_server', 'asking for a server')
    after(compute.Compute, 'create_server', 'server asked for')
    after(attempt.Attempt, 'make', 'server active')
    hooks.before(compute.Compute, 'console', 'console')
    after(compute.Compute, 'stop', 'stopping')
    hooks.before(server.Server, 'snapshot', 'stopped')
    after(compute.Compute, 'snapshot', 'image asked for')
    after(server.Server, 'snapshot', 'image made')
    after(attempt.Attempt, 'give_up', 'server deleted')
    hooks.before(glance_adoption.Adoption, 'attempt', 'adopting')
    hooks.before(glance_adoption.Adoption, '_change', 'changing')
    after(glance_adoption.Adoption, 'attempt', 'adopted')


def main() -> int:
    kind, *rest = sys.argv[2:]
    if kind == 'conductor':
        from imagebuild.cmd import conductor
        from imagebuild.conductor import process

        command = [sys.executable, '-W', 'ignore', '-m', __spec__.name]
        return conductor.main(
            rest,
            make=functools.partial(
                process.from_conf, job_command=[*command, sys.argv[1], 'job']
            ),
        )
    from imagebuild.job import main as job

    install()
    return job.main()


if __name__ == '__main__':
    sys.exit(main())
