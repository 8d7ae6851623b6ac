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
"""imagebuild-conductor, with the stand-in for its jobs."""

import pathlib
import sys

from oslo_config import cfg

from imagebuild.cmd import conductor as program
from imagebuild.conductor import process
from imagebuild.conductor import service

# Nothing but the standard library, and that without site-packages: what is
# not started does not have to be waited for.
STAND_IN = (
    sys.executable,
    '-I',
    '-S',
    str(pathlib.Path(__file__).with_name('stand_in.py')),
)


def make(conf: cfg.ConfigOpts) -> service.Conductor:
    """The conductor of the program, but for the command of its jobs."""
    return process.from_conf(conf, job_command=STAND_IN)


if __name__ == '__main__':
    sys.exit(program.main(make=make))
