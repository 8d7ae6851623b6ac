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
"""The API for WSGI servers: ``imagebuild.wsgi.api:application``.

The configuration is read from the files that the environment variable
IMAGEBUILD_CONFIG names (separated as PATH is), or from
/etc/imagebuild/imagebuild.conf. The command line belongs to the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oslo_log import log

from imagebuild.api import deploy
from imagebuild.common import control_characters

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def _load() -> WSGIApplication:
    conf = deploy.load_conf()
    log.setup(conf, 'imagebuild')
    control_characters.protect_logs()
    return deploy.load_app(conf)


application = _load()
