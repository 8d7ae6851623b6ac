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
"""Options of the disk files that builds work on."""

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'disks',
    title='Disk files',
    help='Where and how the disk files of a build are kept.',
)

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'space_reserve',
        default=512,
        min=0,
        help="""
Room that a build leaves free on the file system of its disk files, in MiB.

A build that would need more than what is free less this reserve is refused
before it starts. The default keeps other programs on the host going while a
disk grows faster than expected. Raise it on a host where others write to the
same file system; 0 switches the reserve off and costs nothing, but a disk
that runs full then stops whatever else writes to it.
""",
    ),
]


def register_opts(conf: cfg.ConfigOpts) -> None:
    conf.register_group(GROUP)
    conf.register_opts(OPTS, group=GROUP)


def list_opts() -> dict[cfg.OptGroup | str, list[cfg.Opt]]:
    return {GROUP: OPTS}
