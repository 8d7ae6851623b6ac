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
"""Layers: what steps of earlier builds have left on a disk.

A layer is a qcow2 file that holds what was written to a disk since the layer
before it, or since the base. It is found by a key that the manifest engine
makes (:mod:`imagebuild.common.checkpoints`); of steps nothing is known here.

``Session`` serves one run: it finds the layers that the disk is to be opened
over, and keeps further ones while the run goes on. ``Store`` is the directory
that all runs of a host share.
"""

from imagebuild.layers.session import NEVER_BY_LAYERS
from imagebuild.layers.session import Base
from imagebuild.layers.session import Policy
from imagebuild.layers.session import Session
from imagebuild.layers.settings import Settings
from imagebuild.layers.store import Limits
from imagebuild.layers.store import Store

__all__ = [
    'NEVER_BY_LAYERS',
    'Base',
    'Limits',
    'Policy',
    'Session',
    'Settings',
    'Store',
]
