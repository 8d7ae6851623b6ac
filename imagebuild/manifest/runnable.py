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
"""What can be run over a system, and what becomes that with values.

A manifest, a recipe and the description of a request are run, planned and
digested alike. The values of their arguments are resolved once, when they are
bound, and not again by each of the three.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any

from imagebuild.common import checkpoints
from imagebuild.manifest import monitors
from imagebuild.manifest import plans
from imagebuild.manifest import reports
from imagebuild.manifest import step_cache


class Runnable(abc.ABC):
    """A described state of a system, the values of arguments included.

    Remotes are :class:`imagebuild.remotes.base.Remote`; not every room that
    hands one on may import that.
    """

    @abc.abstractmethod
    def run(
        self,
        remote: Any,
        *,
        reconcile: bool = True,
        monitor: monitors.Monitor | None = None,
        cache: step_cache.StepCache | None = None,
    ) -> reports.Report:
        """Bring a system into the described state, or only look.

        :param remote: the way into the system.
        :param reconcile: False for test-only: packages and files are only
            looked at, and scripts run with ``test_only=1``; run it over
            something that may be thrown away, since a script is free to
            disobey.
        :param monitor: is informed of progress.
        :param cache: of :meth:`cached`; the disk was opened over what
            was found then. Not used in test-only.
        :returns: what was done, step by step.
        :raises DistroNotAccepted: it is not for this system.
        :raises StepFailed: a step failed (reconcile). Its ``report`` has the
            steps until then.
        :raises NotConforming: something does not hold (test-only); likewise.
        :raises EnvironmentFault: the way to the system broke.
        """

    def cached(
        self, checkpoint: checkpoints.Checkpoint
    ) -> step_cache.StepCache | None:
        """Look which steps need not be run.

        :param checkpoint: of this run; it learns which of the states that
            it has are wanted.
        :returns: for :meth:`run`; None for what is opaque.
        """
        return None

    @abc.abstractmethod
    def plan(
        self, remote: Any, *, cache: step_cache.StepCache | None = None
    ) -> list[plans.PlannedStep]:
        """What :meth:`run` would check and do; looks, changes nothing.

        Branches over values that only a script sets are those of the
        values known now.

        :param cache: as for :meth:`run`.

        :raises DistroNotAccepted: it is not for this system.
        :raises EnvironmentFault: the way to the system broke.
        """

    @abc.abstractmethod
    def content_key(self) -> str:
        """A digest of everything in it that decides the result.

        Steps, contents of scripts and files, and the values of arguments;
        not names of script files, descriptions or the order of keys.

        :returns: 64 hexadecimal digits.
        :raises StepFailed: a recipe that is a plugin failed to compute it.
        """


class Bindable(abc.ABC):
    """What takes values for its arguments to become a :class:`Runnable`."""

    @abc.abstractmethod
    def resolve(self, values: Mapping[str, Any] | None) -> dict[str, str]:
        """Decide the value of every argument.

        :param values: what the user gave; scalars are coerced to text.
        :raises InvalidArguments: every problem at once.
        """

    @abc.abstractmethod
    def bound(self, values: Mapping[str, str]) -> Runnable:
        """The runnable of values that :meth:`resolve` returned."""

    def bind(self, values: Mapping[str, Any] | None = None) -> Runnable:
        """The runnable of values that a user gave.

        :raises InvalidArguments: every problem at once.
        """
        return self.bound(self.resolve(values))

    def run(
        self,
        remote: Any,
        values: Mapping[str, Any] | None = None,
        *,
        reconcile: bool = True,
        monitor: monitors.Monitor | None = None,
    ) -> reports.Report:
        """:meth:`Runnable.run` with these values.

        :raises InvalidArguments: before the system is touched.
        """
        return self.bind(values).run(
            remote, reconcile=reconcile, monitor=monitor
        )

    def plan(
        self, remote: Any, values: Mapping[str, Any] | None = None
    ) -> list[plans.PlannedStep]:
        """:meth:`Runnable.plan` with these values.

        :raises InvalidArguments: before the system is touched.
        """
        return self.bind(values).plan(remote)

    def content_key(self, values: Mapping[str, Any] | None = None) -> str:
        """:meth:`Runnable.content_key` with these values.

        :raises InvalidArguments: the values are not acceptable.
        """
        return self.bind(values).content_key()
