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
"""What every build of a conductor needs, handed around in one piece."""

from __future__ import annotations

import dataclasses
import pathlib
import platform
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol

from oslo_config import cfg

from imagebuild import db
from imagebuild import extension_options
from imagebuild.common import host_paths
from imagebuild.conductor import destination_config
from imagebuild.conductor import disk_space
from imagebuild.conductor import leftovers
from imagebuild.conductor import retry_policy
from imagebuild.conf import for_jobs
from imagebuild.repository import Repository
from imagebuild.stores.base import Store

#: Gives the store of a destination, '' for this cloud.
OpenStore = Callable[[str], Store]


class JobConfig(Protocol):
    """The sections of the configuration that jobs and stores are given."""

    def __call__(self, destination: str = '') -> Mapping[str, Any]:
        """Those of a destination, '' for this cloud.

        :raises InvalidInput: there is no such destination, or it cannot be
            used.
        """


class Notifier(Protocol):
    """Told when builds begin and end; see messaging.notifications."""

    def started(self, build: db.Build) -> None: ...

    def ended(self, build: db.Build) -> None: ...


@dataclasses.dataclass(frozen=True)
class ConductorContext:
    """What one conductor works with.

    :ivar conf: options; mutable ones are read when they are needed.
    :ivar name: of the conductor.
    :ivar job_command: the program of a job.
    :ivar job_config: the configuration that a job is given.
    :ivar work_dir: where workspaces are made.
    :ivar repository: has the files of finished images.
    :ivar leftovers: attempts that may have left something in a cloud.
    :ivar declined: builds that found no room here.
    :ivar paths: puts names in the place of this host's paths.
    """

    conf: cfg.ConfigOpts
    name: str
    database: db.Database
    retry: retry_policy.RetryPolicy
    notifier: Notifier
    open_store: OpenStore
    job_command: Sequence[str]
    job_config: JobConfig
    work_dir: pathlib.Path
    repository: Repository
    leftovers: leftovers.Leftovers = dataclasses.field(
        default_factory=leftovers.Leftovers
    )
    declined: disk_space.DeclinedBuilds = dataclasses.field(
        default_factory=disk_space.DeclinedBuilds
    )
    paths: host_paths.HostPaths = dataclasses.field(
        default_factory=host_paths.HostPaths
    )


def architecture() -> str:
    """The architecture of this host, as images call it."""
    return platform.machine()


def unsigned(sections: Mapping[str, Any]) -> dict[str, Any]:
    """The same configuration without the way to the key of signatures.

    For jobs that work with what tenants describe, and sign nothing.
    """
    return {key: value for key, value in sections.items() if key != 'signing'}


def job_config(conf: cfg.ConfigOpts, destination: str = '') -> dict[str, Any]:
    """The part of the configuration that jobs and stores work with.

    :param destination: whose; '' for this cloud.
    :raises InvalidInput: there is no such destination, or it cannot be used.
    """
    sections = {
        'DEFAULT': {
            'recipe_path': list(conf.recipe_path),
            'state_path': conf.state_path,
            'debug': getattr(conf, 'debug', False),
        },
        **for_jobs(conf, extension_options.pairs()),
    }
    return destination_config.laid_over(conf, sections, destination)
