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
"""Options of no particular section."""

from oslo_config import cfg

OPTS: list[cfg.Opt] = [
    cfg.MultiStrOpt(
        'recipe_path',
        default=[],
        sample_default=['/etc/imagebuild/recipes'],
        help="""
Directory with recipes of your own. May be given several times.

A recipe is found at ``<directory>/<name>/<version>/manifest.yaml``. The
directories are searched in the order given, before the recipes that
imagebuild ships and those of installed plugins; the first one that has the
recipe wins, so a directory given here can replace a shipped recipe of the
same name and version.

By default only the shipped recipes and plugins are known. A directory that
does not exist is an error. The recipes' scripts run as root inside the
images, so only people whom you trust with the images should be able to write
here.
""",
    ),
    cfg.StrOpt(
        'state_path',
        default='/var/lib/imagebuild',
        help="""
Directory for the state of the service.

Base images, running builds and, with the store ``file``, finished images are
kept in directories of it unless their own options name others. It needs room
for them; put it on a local file system.
""",
    ),
    cfg.StrOpt(
        'operating_systems_file',
        default='/etc/imagebuild/operating-systems.yaml',
        help="""
The catalogue of operating systems that can be asked for.

Only API servers read it, whenever it changes; keep it the same on all of them.
Conductors need no such file: they are sent the entry that a request names.
Without the file only requests that name a ``base_image`` can be served.
""",
    ),
    cfg.ListOpt(
        'encryption_keys',
        default=[],
        secret=True,
        sample_default=['<python3 -m imagebuild.sealing>'],
        help="""
Keys that hidden argument values are encrypted with while they wait.

The first one encrypts, all of them decrypt. To replace a key, add the new one
last everywhere, then move it to the front everywhere, and drop the old one
when the builds of its time have ended. All API servers and conductors need
the same. Without a key requests with hidden values are refused; the others
work. The first also goes into the content keys of such requests: with another
one, the same request builds a new image once. A key is 32 random bytes in
URL-safe base64; ``python3 -m imagebuild.sealing`` prints a new one.
""",
    ),
]
