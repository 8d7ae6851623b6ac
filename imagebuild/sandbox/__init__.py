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
"""Work on a guest in namespaces of this host, without an appliance.

The job has a :class:`Supervisor`, a process of its own that holds the
guest's file systems mounted, in a mount namespace that nobody else sees, and
runs commands in them. It is process 1 of a pid namespace: whoever kills it
ends everything below it, and with the last process go the mounts and the loop
devices. Nothing has to be cleaned up afterwards.
"""

from imagebuild.sandbox.availability import missing
from imagebuild.sandbox.control import Running
from imagebuild.sandbox.control import Supervisor
from imagebuild.sandbox.leftovers import sweep
from imagebuild.sandbox.sandbox_settings import Command
from imagebuild.sandbox.sandbox_settings import Ending
from imagebuild.sandbox.sandbox_settings import SandboxSettings

__all__ = [
    'Command',
    'Ending',
    'Running',
    'SandboxSettings',
    'Supervisor',
    'missing',
    'sweep',
]
