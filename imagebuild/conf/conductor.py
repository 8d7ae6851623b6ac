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
"""Options of the conductor, which claims builds and runs their jobs."""

import socket

from oslo_config import cfg
from oslo_config import types

GROUP = cfg.OptGroup(
    'conductor',
    title='The conductor',
    help='What one conductor takes on, and how it looks after it.',
)

_WHO: list[cfg.Opt] = [
    cfg.StrOpt(
        'name',
        default=socket.gethostname(),
        sample_default='<the name of the host>',
        regex=r'^[A-Za-z0-9_.@:-]{1,255}$',
        help="""
Name of this conductor, the same after each restart and unlike any other's.

The default suits one conductor on each host. Several on one host need a name
each. A conductor that comes back under its name at once takes care of what
it left behind; under a new name that waits for dead_after.
""",
    ),
    cfg.IntOpt(
        'max_builds',
        default=2,
        min=0,
        mutable=True,
        help="""
How many builds run at once on this conductor.

Each takes the memory of one appliance ([guestfs] memory), a CPU while
packages are installed, and the room of its disk in work_dir. Raise it where
there is more of all three; 0 takes on nothing new.
""",
    ),
    cfg.IntOpt(
        'max_uploads',
        default=4,
        min=0,
        mutable=True,
        help="""
How many uploads run at once on this conductor.

They do not occupy the place of a build. Each reads a finished image from
[repository] directory, and needs a processor while that is converted to
another format. 0 uploads nothing.
""",
    ),
    cfg.IntOpt(
        'max_deletions',
        default=4,
        min=0,
        mutable=True,
        help="""
How many images are deleted at once by this conductor.

They do not occupy the place of a build or an upload: each is a call to the
store, which may take as long as that is slow. One destination never has all
of several places, so that a store that hangs does not hold up the others. 0
deletes nothing.
""",
    ),
    cfg.ListOpt(
        'drivers',
        default=[],
        mutable=True,
        sample_default=['guestfs', 'bootstrap'],
        help="""
Drivers that this conductor offers.

By default all that are installed and miss nothing on this host. Name some to
keep a host for one kind of work. A driver that is named here and cannot work
is reported in the log and not offered.
""",
    ),
    cfg.Opt(
        'driver_limits',
        type=types.Dict(types.Integer(min=1)),
        default={},
        sample_default='guestfs:2,bootstrap:1',
        mutable=True,
        help="""
How many builds of a driver run at once on this conductor, by driver.

By default as many as max_builds allows. Set it for a driver that takes more
of the host than the others, such as one that compiles; the other drivers go
on when that many of it run. The driver must be installed. To take none of a
driver at all, leave it out of ``drivers``.
""",
    ),
    cfg.ListOpt(
        'operating_systems',
        default=[],
        mutable=True,
        sample_default=['debian-12'],
        help="""
Names of the catalogue's operating systems that this conductor builds.

By default all of its catalogue. Name some where a base image or a mirror can
only be reached from certain hosts; builds of the others wait for another
conductor.
""",
    ),
    cfg.StrOpt(
        'work_dir',
        sample_default='$state_path/work',
        help="""
Directory for the disks and files of running builds.

By default a directory ``work`` in [DEFAULT] state_path. It needs room for the
whole disk of each build that runs at once, twice over while one is
converted. What a killed conductor left here is removed by the next one that
uses the directory.
""",
    ),
    cfg.StrOpt(
        'store',
        default='glance',
        help="""
Where finished images go: ``glance``, ``file`` or an installed plugin.

The default is right wherever there is an Image service. ``file`` keeps
images in a directory of this host; then every conductor needs to see the
same directory.
""",
    ),
]

_TIMES: list[cfg.Opt] = [
    cfg.IntOpt(
        'heartbeat_interval',
        default=5,
        min=1,
        help="""
Seconds between two heartbeats.

Each is one small write to the database. Lower it together with dead_after
to notice a dead conductor sooner.
""",
    ),
    cfg.IntOpt(
        'dead_after',
        default=30,
        min=3,
        help="""
Seconds without a heartbeat after which a conductor counts as dead.

Its builds are then requeued and start again on others. Lower it to lose less
time after a crash; a value below the longest pause of the database makes
conductors that are only slow lose their work. It must be several times
heartbeat_interval, and the same on all conductors.
""",
    ),
    cfg.IntOpt(
        'sweep_interval',
        default=10,
        min=1,
        help="""
Seconds between two searches for builds, dead conductors and left-overs.

A build is normally announced by message and starts at once; this is how long
it waits when the message was lost. Each search is a few queries.
""",
    ),
    cfg.IntOpt(
        'build_timeout',
        default=3600,
        min=1,
        mutable=True,
        help="""
Time limit of a build whose request has none, in seconds.

It applies to each attempt, upload not included. Raise it on hosts without
KVM or for large images; a build that hangs holds its place for that long.
""",
    ),
    cfg.IntOpt(
        'upload_timeout',
        default=3600,
        min=1,
        mutable=True,
        help="""
Time limit of one attempt to upload an image, in seconds.

Raise it for large images over slow links; an upload that hangs holds one of
max_uploads for that long.
""",
    ),
    cfg.IntOpt(
        'leak_grace',
        default=3600,
        min=0,
        mutable=True,
        help="""
Seconds between the two looks at an image that no row of the database knows.

Such an image, with the mark of this service ([glance] service_id), is what
conductors leave that are cut off in the midst of an upload. It is removed
when it is there, and unknown, twice with this time in between. What is older
than the first search, or than the first after two hours without one, is left
alone. 0 switches it off: do so before a backup of the database is put back
that is younger than that. It must be the same on all conductors.
""",
    ),
    cfg.IntOpt(
        'priority_aging',
        default=600,
        min=0,
        mutable=True,
        help="""
Seconds of waiting that are worth one point of priority.

So a build of low priority is not kept from starting for ever by others of
high priority. 0 lets high priorities always go first. It must be the same on
all conductors.
""",
    ),
    cfg.IntOpt(
        'graceful_shutdown_timeout',
        default=60,
        min=0,
        help="""
Seconds that running builds may go on after SIGTERM before they are requeued.

Builds that are not done by then start again on another conductor. Raise it
to the usual length of a build to lose no work at a restart; whatever stops
the service must wait as long (TimeoutStopSec in systemd). A second SIGTERM
requeues at once.
""",
    ),
]

_ATTEMPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'max_attempts',
        default=3,
        min=1,
        mutable=True,
        help="""
Attempts at a build before it ends with an error.

Only faults of the service, such as a dead conductor or an Image service that
does not answer, lead to another attempt; a failing script never does. 1
switches retries off.
""",
    ),
    cfg.IntOpt(
        'wait_for_conductor',
        default=3600,
        min=0,
        help="""
Seconds that a build waits for a conductor that could build it and is down.

A request that only such a conductor can serve is accepted if that has been
down for less than this, and the build says for whom it waits. When none has
come up in time it ends with an error. 0 waits without a limit. API servers
read it, too; keep it the same everywhere. An upload that no conductor can make
ends after the same time.
""",
    ),
    cfg.IntOpt(
        'max_requeues',
        default=10,
        min=0,
        mutable=True,
        help="""
How often a build that finds no room on a conductor's disk goes back to the
queue before it ends with an error.

That is no attempt (max_attempts), and neither is one that a conductor
requeues because it is stopped; but these are counted here, too. Any other
conductor may have the build at once; the one without room leaves it alone for
30 seconds, then for twice as long each time, up to 10 minutes. So with one
conductor a build waits for more than an hour by default.
""",
    ),
    cfg.IntOpt(
        'retry_delay',
        default=10,
        min=0,
        mutable=True,
        help="""
Seconds between a fault of the service and the next attempt at a build.

The build keeps its place on this conductor meanwhile. Raise it where faults
usually last longer.
""",
    ),
    cfg.IntOpt(
        'upload_attempts',
        default=4,
        min=1,
        mutable=True,
        help="""
Attempts at an upload before it ends with an error.

Each one waits for the Image service by itself ([glance] retry_timeout); this
is for whatever else goes wrong, a job that crashed say. The pauses between
them double from 2 to 300 seconds. The finished image stays in the repository,
so that it can be uploaded later without another build.
""",
    ),
]

_KEPT: list[cfg.Opt] = [
    cfg.BoolOpt(
        'hide_undeletable',
        default=False,
        mutable=True,
        help="""
Whether images that are to be deleted, and are protected or in use, are hidden.

Such an image is deleted when somebody takes the protection back, or nobody
uses it any more; that is looked at every hour. Until then it is as it was, and
its upload says why. With this it is also taken off the lists of images
(``os_hidden`` in Glance); whoever knows its id still can use it.
""",
    ),
    cfg.IntOpt(
        'max_log_size',
        default=8 * 1024**2,
        min=1024,
        mutable=True,
        help="""
Bytes of log that are kept for one build.

What exceeds it is dropped, with a line about it. The logs are in the database;
raise it only where that has the room.
""",
    ),
    cfg.IntOpt(
        'retention_days',
        default=30,
        min=0,
        mutable=True,
        help="""
Days for which builds that were deleted, failed or were cancelled stay in the
database, with their logs. Those of active builds stay as long as the build.

0 keeps them for ever, and the database grows.
""",
    ),
    cfg.PortOpt(
        'metrics_port',
        default=0,
        help="""
Port on which the conductor serves its metrics to Prometheus.

0, the default, serves none. The metrics are seconds of steps, builds by their
end, retries and uploaded bytes of this conductor; what the whole service has
is at /metrics of the API.
""",
    ),
    cfg.StrOpt(
        'metrics_host',
        default='127.0.0.1',
        help="""
Address on which metrics_port listens.

By default only programs on this host can read it. There is no
authentication: set another address only in a network you trust.
""",
    ),
]

OPTS: list[cfg.Opt] = [*_WHO, *_TIMES, *_ATTEMPTS, *_KEPT]
