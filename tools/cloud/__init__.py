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
"""A small real OpenStack on the loopback address, for tests and trials.

``tools/cloud/up`` starts it, ``tools/cloud/down`` stops it. Everything that it
writes is below one directory (:mod:`tools.cloud.cloud_state`); every process
that it starts is recorded there by id and start time, and only those are
stopped.

The standard library is all that this package needs.
"""
