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
"""imagebuild-conductor: claims builds and runs them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from collections.abc import Sequence

from oslo_config import cfg
from oslo_log import log

import imagebuild.conf
from imagebuild import exception
from imagebuild import extension_options
from imagebuild.cmd import configuration
from imagebuild.cmd import guru_meditation
from imagebuild.cmd import program
from imagebuild.cmd import service_log
from imagebuild.conductor import process
from imagebuild.conductor import service
from imagebuild.conf import errors

LOG = logging.getLogger(__name__)

PROGRAM = 'imagebuild-conductor'


def main(
    argv: Sequence[str] | None = None,
    *,
    make: Callable[[cfg.ConfigOpts], service.Conductor] = process.from_conf,
) -> int:
    """Run the program.

    :param argv: its arguments; by default those of this process.
    :param make: makes the conductor; tests bring their own.
    :returns: exit code.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return program.run(
        lambda: _work(arguments, make), debug='--debug' in arguments
    )


def _work(
    argv: Sequence[str], make: Callable[[cfg.ConfigOpts], service.Conductor]
) -> int:
    conf = cfg.ConfigOpts()
    _configure(conf, argv)
    try:
        process.Process(conf, make(conf)).run()
    except cfg.Error as error:
        raise errors.unusable(error) from error
    except exception.ImageBuildError:
        raise
    except Exception:
        LOG.exception('Unexpected error of the conductor')
        return exception.EnvironmentFault.exit_code
    return 0


def _configure(conf: cfg.ConfigOpts, argv: Sequence[str]) -> None:
    imagebuild.conf.register(conf, extension_options.pairs())
    log.register_options(conf)
    log.set_defaults(
        default_log_levels=[*log.get_default_log_levels(), 'stevedore=WARN']
    )
    guru_meditation.register_options(conf)
    configuration.read(
        conf,
        argv,
        PROGRAM,
        pairs=extension_options.pairs(),
        stores=extension_options.of_stores(),
    )
    service_log.set_up(conf)
    guru_meditation.set_up(conf, PROGRAM)


if __name__ == '__main__':
    sys.exit(main())
