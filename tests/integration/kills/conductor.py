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
"""imagebuild-conductor with real jobs that tell their phases.

python -m tests.integration.kills.conductor SOCKET [its arguments]
"""

import sys
from typing import Any

from imagebuild.cmd import conductor as program
from imagebuild.conductor import service
from tests.functional import conductors
from tests.integration.kills import hooks

SOCKET = sys.argv[1]


def make(conf: Any) -> service.Conductor:
    kind = 'installer' if 'installer' in conf.conductor.drivers else 'job'
    command = [sys.executable, hooks.__file__, SOCKET, kind]
    made: service.Conductor = conductors.make_conductor(
        conf, job_command=command, capability_provider=None
    )
    return made


if __name__ == '__main__':
    sys.exit(program.main(sys.argv[2:], make=make))
