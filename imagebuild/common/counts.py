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
"""Numbers in messages: "1 step", and not "1 steps"."""

from __future__ import annotations


def counted(number: float, noun: str, plural: str = '') -> str:
    """A number and what it counts, for a message.

    :param number: whole, or with the digits that it has ("0.5 seconds").
    :param noun: for one of them, such as ``image file``.
    :param plural: for any other number; the noun and an "s" by default.
    """
    what = noun if number == 1 else plural or f'{noun}s'
    return f'{number:.10g} {what}' if number % 1 else f'{number:.0f} {what}'
