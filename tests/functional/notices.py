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
"""A notifier that remembers."""


class Notices:
    """In place of imagebuild.messaging.notifications.Notifier.

    :ivar seen: pairs of "start" or the status at the end, and the build's id.
    """

    def __init__(self):
        self.seen = []

    def started(self, build):
        self.seen.append(('start', build.id))

    def ended(self, build):
        self.seen.append((build.status, build.id))

    def promoted(self, channel, action, request_id):
        self.seen.append((action, channel.id))
