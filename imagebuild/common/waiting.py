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
"""For whom a job waits, as users are told it."""

from __future__ import annotations

from collections.abc import Sequence

from imagebuild.common.counts import counted

_MOST_SHOWN = 5


def waits_for(
    names: Sequence[str], lacks: Sequence[str] = (), *, to: str = 'build'
) -> str:
    """For whom a job waits, as users are told it.

    :param names: of the conductors that could do it and are down; none if no
        conductor that is registered could.
    :param lacks: what each of those that are up lacks, for that case.
    :param to: the verb of what it would do.
    """
    if not names:
        why = '; '.join(lacks[:_MOST_SHOWN]) or 'none is registered'
        return f'Waits for a conductor that can {to} it: {why}.'
    return f'Waits for a conductor: {shown(names)} could, and is down.'


def shown(names: Sequence[str]) -> str:
    """Names for a message, not more than a few."""
    first = ', '.join(names[:_MOST_SHOWN])
    more = len(names) - _MOST_SHOWN
    return f'{first} or {counted(more, "other")}' if more > 0 else first
