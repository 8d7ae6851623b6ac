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
"""What a request wants of the inside of an image, as one runnable thing.

A request has many ways to describe what an image holds: ``packages``,
``pip_packages``, ``files``, then a recipe or a manifest with arguments.
:func:`load` turns them into one :class:`Description`: the API loads it to
refuse a bad request at once and to know its content key, the build job to
run it. Every place it names, in problems and in steps, is one of the
request: ``files[0].mode``, ``manifest.validators[1].script``.
"""

from imagebuild.description.description import CLEANUP
from imagebuild.description.description import Description
from imagebuild.description.loader import load
from imagebuild.description.resolution import pinned
from imagebuild.description.resolution import resolve

__all__ = ['CLEANUP', 'Description', 'load', 'pinned', 'resolve']
