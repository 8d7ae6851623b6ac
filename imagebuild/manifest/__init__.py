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
"""The manifest engine: load, check everything, run over a Remote.

::

    from imagebuild import manifest

    m = manifest.load('image.yaml')
    report = m.run(remote, {'version': '7'}, reconcile=True)

The engine knows Remotes and nothing else: not where the system came from,
not who asked, not where the result goes.
"""

from imagebuild.manifest.arguments import Argument
from imagebuild.manifest.arguments import resolve
from imagebuild.manifest.loader import load
from imagebuild.manifest.manifests import Manifest
from imagebuild.manifest.monitors import Monitor
from imagebuild.manifest.monitors import RunningStep
from imagebuild.manifest.plans import PlannedStep
from imagebuild.manifest.programs import followed
from imagebuild.manifest.reports import Report
from imagebuild.manifest.reports import Result
from imagebuild.manifest.reports import StepReport
from imagebuild.manifest.runnable import Bindable
from imagebuild.manifest.runnable import Runnable
from imagebuild.manifest.step_cache import StepCache

__all__ = [
    'Argument',
    'Bindable',
    'Manifest',
    'Monitor',
    'PlannedStep',
    'Report',
    'Result',
    'Runnable',
    'RunningStep',
    'StepCache',
    'StepReport',
    'followed',
    'load',
    'resolve',
]
