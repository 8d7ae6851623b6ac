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
"""Wait until something is as it should be."""

import time

from tempest.lib import exceptions as lib_exc

#: A build of one of these does not change any more.
ENDED = ('active', 'error', 'cancelled')


class EndedOtherwise(lib_exc.TempestException):
    """It will never be as it should."""

    message = '%(what)s is %(status)s: %(reason)s'


def wait_for_build(client, build_id, *statuses):
    """Wait until a build is of one of these statuses ('active').

    :returns: the build.
    :raises EndedOtherwise: it ended another way.
    :raises lib_exc.TimeoutException: [image_build] build_timeout is over.
    """
    wanted = statuses or ('active',)
    for build in _looks(client, lambda: client.show_build(build_id)):
        if build['status'] in wanted:
            return build
        if build['status'] in ENDED:
            raise EndedOtherwise(
                what=f'build {build_id}',
                status=build['status'],
                reason=build['status_reason'],
            )


def wait_for_stack(client, stack, status):
    """Wait until a stack is of this status.

    :returns: the stack.
    :raises EndedOtherwise: it failed, or did not as it should.
    """
    action = status.split('_')[0]
    for found in _looks(client, lambda: client.show_stack(stack)):
        now = found['stack_status']
        if now == status:
            return found
        if now.startswith(action) and not now.endswith('_IN_PROGRESS'):
            raise EndedOtherwise(
                what=f'stack {stack["stack_name"]}',
                status=now,
                reason=found['stack_status_reason'],
            )


def _looks(client, look):
    """Look again and again, until there is no more time."""
    end = time.monotonic() + client.build_timeout
    while True:
        found = look()
        yield found
        if time.monotonic() > end:
            raise lib_exc.TimeoutException(
                f'It was not done in {client.build_timeout} s: {found}'
            )
        time.sleep(client.build_interval)
