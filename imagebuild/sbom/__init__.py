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
"""What is in an image: its packages, and the SPDX document that lists them.

``reading`` asks the system on a disk, through its Remote; what it answers is
a guest's word and is checked (``packages``). ``spdx`` makes the document,
``versions`` compares as each ecosystem does.
"""

from __future__ import annotations

from imagebuild.sbom.packages import FILE_NAME
from imagebuild.sbom.packages import LARGEST_FILE
from imagebuild.sbom.packages import Contents
from imagebuild.sbom.packages import Package
from imagebuild.sbom.packages import Unreadable
from imagebuild.sbom.reading import read
from imagebuild.sbom.reading import script
from imagebuild.sbom.reading import told
from imagebuild.sbom.spdx import Subject
from imagebuild.sbom.spdx import document
from imagebuild.sbom.versions import Conditions

__all__ = [
    'FILE_NAME',
    'LARGEST_FILE',
    'Conditions',
    'Contents',
    'Package',
    'Subject',
    'Unreadable',
    'document',
    'read',
    'script',
    'told',
]
