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
"""URLs that somebody wrote: whether they can be used at all."""

from __future__ import annotations

from urllib import parse

#: What can be downloaded.
SCHEMES = ('https', 'http')


def problem_of(url: str) -> str:
    """What is wrong with the URL of a file.

    :returns: a clause, such as 'has no host'; '' for nothing.
    """
    try:
        parts = parse.urlsplit(url)
        _ = parts.port
        url.encode()
    except ValueError:
        return 'is not a valid URL'
    if parts.scheme not in SCHEMES:
        return 'is not an http or https URL'
    if not parts.hostname:
        return 'has no host'
    return ''
