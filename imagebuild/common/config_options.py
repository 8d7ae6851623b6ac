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
"""Options in the configuration file, as those who have some declare them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import TypeAlias

if TYPE_CHECKING:
    # imagebuild-bootstrap reads no configuration file.
    from oslo_config import cfg

#: Sections with their options, as ``list_opts`` of oslo.config gives them. A
#: section is a group or its name.
Pairs: TypeAlias = 'Sequence[tuple[cfg.OptGroup | str, Sequence[cfg.Opt]]]'
