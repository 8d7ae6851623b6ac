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
"""One entry of the table of routes.

Apart from the table, which imports all handlers: the OpenAPI document is
made from entries, and a handler serves it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence

import flask

from imagebuild.api.schemas import base


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one address.

    :ivar path: with parameters as Flask writes them: ``<build_id>``.
    :ivar handler: is given a Call and the parameters of the path.
    :ivar summary: for the OpenAPI document.
    :ivar status: of the answer when all is well.
    :ivar answer: schema of that answer; None when it is not JSON.
    :ivar text: media type of an answer, or of another form of it, that is
        plain text.
    :ivar body: schema of the request's body, None when there is none.
    :ivar query: parameters of the query.
    :ivar errors: statuses of errors, besides those that every route may
        give.
    :ivar headers: of the answer.
    :ivar public: no token is needed.
    """

    method: str
    path: str
    handler: Callable[..., flask.Response]
    summary: str
    status: int = 200
    answer: base.Schema | None = None
    text: str = ''
    body: base.Schema | None = None
    query: Sequence[base.Parameter] = ()
    errors: Sequence[int] = ()
    headers: Sequence[base.Parameter] = ()
    public: bool = False
