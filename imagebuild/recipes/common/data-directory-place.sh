#!/bin/sh
# The data directory is none that the system itself uses, or that a server
# would not see: it is given another owner and mode, and kept in the image.
set -eu
: "${data_directory:=}"
case $data_directory in
'' | "${vendor_data_directory:=none}" | "$vendor_data_directory"/*)
    exit 0
    ;;
/ | /opt | /var | /var/cache | /var/lib | /var/log) used=system ;;
/var/lock | /var/lock/* | /var/run | /var/run/* | /var/tmp | /var/tmp/*)
    used=lost
    ;;
*)
    # All that is below them, too.
    top=${data_directory#/}
    case ${top%%/*} in
    bin | boot | etc | lib* | sbin | usr) used=system ;;
    dev | proc | run | sys | tmp) used=lost ;;
    home | root) used=hidden ;;
    *) exit 0 ;;
    esac
    ;;
esac
case $used in
system) why='which the system itself uses' ;;
lost) why='which is not kept in an image' ;;
hidden) why='which the units of servers do not let them see' ;;
esac
echo "the argument data-directory is $data_directory, $why" >&2
exit 1
