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
"""The Heat resource type ``OS::ImageBuild::Image``.

It runs inside heat-engine. Of this project it imports the client and what the
client imports, nothing else: a host that runs Heat installs none of the
service. How Heat finds the parts:

* the client plugin and the constraints by entry points (``heat.clients``,
  ``heat.constraints``),
* the resource because ``plugin_dirs`` in heat.conf names the directory of
  :mod:`heat_plugin.resources`. Every module in that directory is loaded by
  heat-engine, so only modules of resources live there.

:mod:`heat_plugin.messages` and :mod:`heat_plugin.poll_state` do not import
Heat and can be tested without it.
"""
