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
"""The driver ``installer``: a distribution's own installer makes the disk.

It runs in a machine of QEMU's (:mod:`imagebuild.boot`) and is answered by a
file: a preseed, a kickstart or an autoinstall, which is made of the driver's
options. What it says on its serial console is read, and at its end it
switches the machine off. The disk is a base image then, as those of other
drivers that start from nothing.
"""

from imagebuild.drivers.installer.driver import InstallerDriver
from imagebuild.drivers.installer.options import InstallerOptions

__all__ = ['InstallerDriver', 'InstallerOptions']
