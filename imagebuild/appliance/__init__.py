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
"""The libguestfs appliance: a small virtual machine that holds the disk.

Everything a tenant's manifest runs, runs in here. This room knows how to
start one well on the machine at hand (how much memory, which accelerator,
which settings make emulation bearable) and nothing about what it is used
for. :mod:`imagebuild.remotes.guestfs` and :mod:`imagebuild.disks` use it.
"""

from imagebuild.appliance.appliance_settings import ApplianceSettings
from imagebuild.appliance.launch import Appliance
from imagebuild.appliance.launch import Drive
from imagebuild.appliance.launch import import_guestfs
from imagebuild.appliance.launch import launch

__all__ = [
    'Appliance',
    'ApplianceSettings',
    'Drive',
    'import_guestfs',
    'launch',
]
