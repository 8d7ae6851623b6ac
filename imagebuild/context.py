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
"""The identity of one request, in the API, on the bus and in logs."""

from __future__ import annotations

from typing import Any
from typing import Protocol

from oslo_context import context
from oslo_policy import policy

from imagebuild import exception


class Owned(Protocol):
    """What belongs to a project: a build, an upload."""

    @property
    def project_id(self) -> str: ...


class RequestContext(context.RequestContext):
    """The token's project, user and roles, and the request's id.

    :ivar enforcer: decides :meth:`can`; None on a conductor, where nothing
        is decided any more.
    """

    enforcer: policy.Enforcer | None = None

    def may(self, rule: str, target: Owned | None = None, **more: str) -> bool:
        """Whether a rule of :mod:`imagebuild.policies` lets this happen.

        :param target: what it happens to; without one, the project of the
            token itself.
        :param more: what else rules may look at, by name.
        """
        if self.enforcer is None or not self.project_id:
            return False
        project_id = target.project_id if target else self.project_id
        return bool(
            self.enforcer.authorize(
                rule,
                {'project_id': project_id, **more},
                self,
                do_raise=False,
            )
        )

    def can(self, rule: str, target: Owned | None = None, **more: str) -> None:
        """Pass when a rule lets this happen.

        :param target: as of :meth:`may`, and so are the others.
        :raises Forbidden: it does not.
        """
        if not self.may(rule, target, **more):
            raise exception.Forbidden(rule=rule)

    def to_dict(self) -> dict[str, Any]:
        """The context without the token, which no one else needs.

        It travels over the bus, where a token would be one to steal; what
        the service does later it does as itself.
        """
        return {**super().to_dict(), 'auth_token': None}
